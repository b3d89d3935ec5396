"""Draw docs/images/overview-light.svg and -dark.svg, the picture of the README (`make docs`)."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs/images"
SIZE = (1020, 400)


@dataclass(frozen=True)
class Colours:
    """One theme."""

    text: str
    muted: str
    line: str
    box: str
    accent: str
    inside: str


THEMES = {
    "light": Colours("#1f2328", "#59636e", "#8c959f", "#f6f8fa", "#0969da", "#fff8f0"),
    "dark": Colours("#f0f6fc", "#9198a1", "#656c76", "#151b23", "#4493f8", "#2a2017"),
}


def box(colours: Colours, x: int, y: int, width: int, height: int, title: str, *lines: str) -> str:
    """A box with a title and lines of explanation."""
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colours.box}" '
        f'stroke="{colours.line}"/>',
        text(colours.text, x + width // 2, y + 26, title, weight=600),
    ]
    parts += [
        text(colours.muted, x + width // 2, y + 46 + 18 * number, line, size=13)
        for number, line in enumerate(lines)
    ]
    return "\n".join(parts)


def text(colour: str, x: int, y: int, content: str, *, size: int = 15, weight: int = 400) -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="middle">{content}</text>'
    )


def arrow(colour: str, *points: tuple[int, int]) -> str:
    path = " L".join(f"{x} {y}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5" marker-end="url(#head)"/>'


def picture(colours: Colours) -> str:
    """The whole SVG in these colours."""
    width, height = SIZE
    sandbox = (
        f'<rect x="520" y="236" width="380" height="144" rx="10" fill="{colours.inside}" '
        f'stroke="{colours.accent}" stroke-width="2" stroke-dasharray="7 5"/>'
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="system-ui, -apple-system, sans-serif">',
        "<title>A client talks to the API. The runner starts a sandbox for each task. The model gateway and the "
        "control server stand between the sandbox and everything else.</title>",
        f'<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{colours.line}"/></marker></defs>',
        box(colours, 20, 30, 150, 84, "Your program", "dispatches tasks,", "follows events"),
        box(colours, 250, 30, 180, 84, "API", "HTTP, event streams,", "idempotent"),
        box(colours, 250, 160, 180, 84, "PostgreSQL", "tasks, events,", "queue, ledger"),
        box(colours, 250, 290, 180, 84, "Object store", "inputs, outputs,", "checkpoints"),
        box(colours, 520, 30, 150, 84, "Runner", "time, limits, files,", "judges finish"),
        box(colours, 750, 30, 150, 84, "Model gateway", "adds the key,", "enforces the budget"),
        arrow(colours.line, (170, 72), (250, 72)),
        text(colours.muted, 210, 62, "HTTP", size=12),
        arrow(colours.line, (340, 114), (340, 160)),
        arrow(colours.line, (250, 98), (225, 98), (225, 332), (250, 332)),
        arrow(colours.line, (520, 90), (475, 90), (475, 202), (430, 202)),
        arrow(colours.line, (475, 202), (475, 332), (430, 332)),
        arrow(colours.line, (595, 236), (595, 114)),
        arrow(colours.line, (825, 236), (825, 114)),
        text(colours.muted, 560, 180, "socket", size=12),
        text(colours.muted, 790, 180, "socket", size=12),
        sandbox,
        text(colours.accent, 710, 262, "Sandbox: one for each attempt", weight=600),
        text(colours.text, 710, 292, "Pi, its tools, /workspace"),
        text(colours.muted, 710, 318, "no key, no privileges, no network unless allowed", size=13),
        text(colours.muted, 710, 342, "bounded memory, processes, CPU and disk", size=13),
        arrow(colours.line, (900, 72), (944, 72)),
        text(colours.text, 978, 68, "model", size=13),
        text(colours.text, 978, 84, "provider", size=13),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def files() -> dict[Path, str]:
    """What the folder should hold."""
    return {FOLDER / f"overview-{theme}.svg": picture(colours) for theme, colours in THEMES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, content in files().items():
        path.write_text(content)
