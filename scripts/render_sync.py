"""Write the client's `_sync` package from `_async`, token by token (`make docs`)."""

import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "client/src/agentcontainer_client"
FOLDERS = (PACKAGE, ROOT / "tests/client")
NOTE = "# Written by scripts/render_sync.py from _async. Do not edit.\n"
OWN = {"__init__.py", "concurrency.py"}  # both packages have their own
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "anext": "next",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
    "_async": "_sync",
    "async_client": "client",
}


def files() -> dict[Path, str]:
    """The rendered files and their contents."""
    return {
        (target := folder / "_sync" / path.name): render(path.read_text(), target)
        for folder in FOLDERS
        for path in sorted((folder / "_async").glob("*.py"))
        if path.name not in OWN
    }


def render(source: str, target: Path) -> str:
    """The synchronous form of an asynchronous module."""
    lines = source.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []  # line, first column, end column, replacement
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        row, column = token.start
        if token.type == tokenize.NAME and token.string in {"async", "await"}:
            end = following.start[1] if following.start[0] == row else token.end[1]
            edits.append((row, column, end, ""))
        elif token.type == tokenize.NAME and (name := _name(token.string)) != token.string:
            edits.append((row, column, token.end[1], name))
        elif token.type == tokenize.STRING and '"Async' in token.string and token.end[0] == row:
            edits.append((row, column, token.end[1], token.string.replace('"Async', '"')))
    for row, column, end, replacement in reversed(edits):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + replacement + line[end:]
    first = "".join(lines)
    head, quote, rest = first.partition('"""\n')
    return _formatted(f"{head}{quote}\n{NOTE}{rest}", target)


def _name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    return name.removeprefix("Async") if name.startswith("Async") else name


def _formatted(source: str, target: Path) -> str:
    ruff = [Path(sys.executable).with_name("ruff")]
    stdin_name = ["--stdin-filename", str(target), "-"]
    fix = ["check", "--fix-only", "--select", "I,F401,C4", "--quiet"]
    for arguments in (fix, ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *arguments, *stdin_name], input=source, capture_output=True, text=True, check=True
        )
        source = done.stdout
    return source


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
