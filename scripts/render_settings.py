"""Write the table of settings in docs/reference/settings.md, from settings.py (`make docs`)."""

from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from agentcontainer.settings import ENV_PREFIX, Settings

START, END = "<!-- generated from settings.py -->", "<!-- end -->"
PAGE = Path(__file__).parents[1] / "docs/reference/settings.md"
COMPUTED = {"data_dir": "`/var/lib/agentcontainer` as root, else `~/.local/share/agentcontainer`"}
UNITS = {1024**3: "GiB", 1024**2: "MiB"}


def table() -> str:
    """A table with a row for each setting: variable, default, meaning and allowed values."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        meaning = " ".join(part for part in (field.description, _allowed(field)) if part)
        lines.append(f"| `{ENV_PREFIX}{name.upper()}` | {_default(name, field)} | {meaning} |")
    return "\n".join(lines)


def _default(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return COMPUTED[name]
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    unit = next(
        (unit for unit in UNITS if isinstance(value, int) and value >= unit and value % unit == 0), None
    )
    return f"`{value}`" if unit is None else f"`{value}` ({value // unit} {UNITS[unit]})"


def _allowed(field: FieldInfo) -> str:
    """The allowed values, if the setting's type or bounds restrict them."""
    kinds = (field.annotation, *get_args(field.annotation))  # also finds the Literal in `Region | None`
    if choices := [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]:
        return f"One of {', '.join(f'`{choice}`' for choice in choices)}."
    constraints = {"gt": "above", "ge": "at least", "le": "at most"}
    bounds = [
        f"{text} {getattr(bound, name)}"
        for name, text in constraints.items()
        for bound in field.metadata
        if hasattr(bound, name)
    ]
    return f"{', '.join(bounds).capitalize()}." if bounds else ""


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{after}")
