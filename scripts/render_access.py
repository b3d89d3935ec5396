"""Writes the table of routes and their access into docs/reference/access.md."""

from pathlib import Path

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.access import access_of

PAGE = Path(__file__).parents[1] / "docs/reference/access.md"
START = "<!-- routes: written by scripts/render_access.py -->"
END = "<!-- end of routes -->"


def table() -> str:
    """The table, without the routes of HEAD, which are those of GET."""
    lines = ["| route | access | agents |", "| --- | --- | --- |"]
    shown = [route for route in ROUTES if route.include_in_schema]
    for route in sorted(shown, key=lambda route: (route.path, sorted(route.methods or ()))):
        access = access_of(route)
        for method in sorted(route.methods or ()):
            level = f"`{access.level}`" + ("; `reads` with `dryRun`" if access.has_trial else "")
            lines.append(f"| `{method} {route.path}` | {level} | `{access.agents}` |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into the page."""
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
