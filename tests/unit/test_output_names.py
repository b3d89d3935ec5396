"""Content types of outputs, the paths that clients see, and names in either spelling."""

import mimetypes
import unicodedata

import pytest

from agentcontainer.filenames import composed
from agentcontainer.runner.workspace.content_types import content_type_of
from agentcontainer.runner.workspace.folders import distinct_names
from agentcontainer.runner.workspace.outputs import public_path


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("a.js", "text/javascript"), ("a.webp", "image/webp"), ("a.ipynb", "application/x-ipynb+json"),
        ("a.log", "text/plain"), ("a.sql", "application/sql"), ("A.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("report.md", "text/markdown"), ("Makefile", "application/octet-stream"), (".txt", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ],
)  # fmt: skip
def test_a_content_type_depends_on_the_suffix_alone(name: str, type_: str) -> None:
    mimetypes.add_type("x/wrong", f".{name.rpartition('.')[2]}")
    assert content_type_of(name) == type_


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        ("task/a.md", "a.md"), ("task/north/a.md", "north/a.md"), ("out/a.md", "workspace/out/a.md"),
        ("a.md", "workspace/a.md"), ("task/x\\y/a.md", "a.md"), ("task/x\n/a.md", "a.md"), ("task/\udcff/a.md", "a.md"),
    ],
)  # fmt: skip
def test_a_path_can_be_created_below_any_folder(inside: str, shown: str) -> None:
    assert public_path(inside) == shown


def test_names_are_placed_composed_and_stay_distinct() -> None:
    nfc = "Absch\u00e4tzung.csv"
    nfd = unicodedata.normalize("NFD", nfc)
    assert nfd != nfc
    assert distinct_names([nfd]) == [nfc]
    assert distinct_names([nfc, nfd]) == [nfc, "Absch\u00e4tzung (2).csv"]
    longer_composed = "\ufb2c" * 85  # grows from 255 to 510 bytes
    assert composed(longer_composed) == longer_composed
