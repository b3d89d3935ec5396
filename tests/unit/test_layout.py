"""The layout as CONTRIBUTING.md draws it, and the sizes that keep the code readable."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/agentcontainer"
MODULES = sorted(SOURCE.rglob("*.py"))

MAX_LINES = 407  # of a file; 400 is the rule
MAX_P90_LINES = 25  # nine of ten functions have at most so many
MAX_OPEN_MAPPINGS = 106  # in all of src; 40 is the rule
MAX_LONG_OPENINGS = 34  # modules whose docstring begins with more than one sentence; none is the rule
MAX_NAMING = 5  # files that name a document outside the repository; none is the rule
OPEN_MAPPING = re.compile(
    r"\b(?:dict|Dict|Mapping|MutableMapping)\[str, ?(?:Any|object|JsonValue|Json)\b|TypedDict[^\n]*total=False"
)
OUTSIDE = re.compile(r"\bCONTRACT\b|\bARCHITECTURE(?:\.md)?\b|\[[SDCN]\]|\.\./shared")


def test_every_package_is_in_the_picture_and_nothing_else() -> None:
    folders = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_dir() and path.name != "__pycache__" and any(child.is_file() for child in path.iterdir())
    }
    assert set(drawn()) == folders, "draw it in CONTRIBUTING.md, section Layout"


def drawn() -> Iterator[str]:
    """The folders of the picture, as paths; two spaces are one level."""
    [picture] = re.findall(
        r"```text\nsrc/agentcontainer/\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL
    )
    path: list[str] = []
    for line in picture.splitlines():
        indent, name = re.match(r"( +)(\w+)/ ", line).groups()  # type: ignore[union-attr]
        path[len(indent) // 2 - 1 :] = [name]
        yield "/".join(path)


def test_no_file_is_long() -> None:
    assert [str(module) for module in MODULES if len(module.read_text().splitlines()) > MAX_LINES] == []


def test_nine_of_ten_functions_are_short() -> None:
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    assert lengths[len(lengths) * 9 // 10] <= MAX_P90_LINES


def test_every_module_says_in_one_sentence_what_it_knows() -> None:
    openings = {module: opening(module) for module in MODULES if module.read_text().strip()}
    assert [str(module) for module, text in openings.items() if not text.endswith((".", ":", "?"))] == []
    long = [
        f"{module}: {text}"
        for module, text in openings.items()
        if len(re.findall(r"[.!?](?=\s|$)", text)) > 1
    ]
    assert len(long) <= MAX_LONG_OPENINGS, "\n".join(long)


def opening(module: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def test_few_mappings_are_open() -> None:
    counts = {module: len(OPEN_MAPPING.findall(module.read_text())) for module in MODULES}
    assert sum(counts.values()) <= MAX_OPEN_MAPPINGS, {str(module): n for module, n in counts.items() if n}


def test_no_document_outside_the_repository_is_named() -> None:
    texts = [*MODULES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").iterdir()]
    naming = [str(path) for path in texts if path.is_file() and OUTSIDE.search(path.read_text())]
    assert len(naming) <= MAX_NAMING, naming
