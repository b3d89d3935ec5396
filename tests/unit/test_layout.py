"""The layout as CONTRIBUTING.md draws it, and the sizes that keep the code readable."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/agentcontainer"
MODULES = sorted(SOURCE.rglob("*.py"))

MAX_LINES = 400  # of a file
MAX_P90_LINES = 25  # nine of ten functions have at most so many
MAX_OPEN_MAPPINGS = 40  # in all of src
OPEN_MAPPING = re.compile(
    r"\b(?:dict|Dict|Mapping|MutableMapping)\[str, ?(?:Any|object|JsonValue|Json)\b|TypedDict[^\n]*total=False"
)
OPEN_ALIAS = re.compile(
    r"^(?:type )?(\w+)(?:: TypeAlias)? = (?:dict|Mapping)\[str, ?(?:Any|object)\]", re.MULTILINE
)
OUTSIDE = re.compile(r"\bCONTRACT\b|\bARCHITECTURE(?:\.md)?\b|\[[SDCN]\]|\.\./shared")


def test_every_package_is_in_the_picture_and_nothing_else() -> None:
    folders = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_dir()
        and path.name != "__pycache__"
        and path.relative_to(SOURCE).parts[:2] != ("dashboard", "static")  # generated
        and any(child.is_file() for child in path.iterdir())
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
    assert long == []


def opening(module: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def test_few_mappings_are_open() -> None:
    """A use of an alias, such as `JsonObject = dict[str, Any]`, counts like the mapping itself."""
    texts = {module: module.read_text() for module in MODULES}
    aliases = {(module, name) for module, text in texts.items() for name in OPEN_ALIAS.findall(text)}
    counts = {module: len(OPEN_MAPPING.findall(text)) for module, text in texts.items()}
    for defined_in, name in aliases:
        importing = re.compile(rf"from {dotted(defined_in)} import [^\n]*\b{name}\b")
        for module, text in texts.items():
            if module == defined_in or importing.search(text):
                counts[module] += len(re.findall(rf"\b{name}\b", text)) - 1
    assert sum(counts.values()) <= MAX_OPEN_MAPPINGS, {str(module): n for module, n in counts.items() if n}


def dotted(module: Path) -> str:
    return ".".join(module.relative_to(SOURCE.parent).with_suffix("").parts)


def test_no_document_outside_the_repository_is_named() -> None:
    texts = [*MODULES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").iterdir()]
    naming = [str(path) for path in texts if path.is_file() and OUTSIDE.search(path.read_text())]
    assert naming == []
