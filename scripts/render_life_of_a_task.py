"""Write the diagram and the table of ends in docs/life-of-a-task.md, from domain/tasks/state.py (`make docs`)."""

from pathlib import Path

from agentcontainer.domain.tasks.state import MEANING, TERMINAL, TRANSITIONS, Status

START, END = "<!-- generated from state.py -->", "<!-- end -->"
PAGE = Path(__file__).parents[1] / "docs/life-of-a-task.md"


def diagram() -> str:
    """A Mermaid diagram of the transitions, and a table of the end reasons of an attempt."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    for from_, following in TRANSITIONS.items():
        lines += [f"    {from_} --> {to}" for to in Status if to in following]
    lines += [f"    {status} --> [*]" for status in Status if status in TERMINAL]
    lines += [
        "```",
        "",
        "| an attempt ends because of | status | `errorCode` | charged |",
        "| --- | --- | --- | --- |",
    ]
    for reason, meaning in MEANING.items():
        status = "pending, after 3 such tries failed" if meaning.uses_a_try else meaning.status.value
        code = f"`{meaning.error_code}`" if meaning.error_code else ""
        lines.append(f"| {reason} | {status} | {code} | {'yes' if meaning.is_charged else 'no'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{diagram()}\n{END}{after}")
