"""Each migration says which versions can use the schema that it makes."""

import re
from pathlib import Path

import pytest

from agentcontainer.migrations import schema
from agentcontainer.migrations.schema import HEAD, fault_of

FIRST = "0008"  # earlier revisions need a stop of all processes
CONTRACTIONS: frozenset[str] = frozenset()  # they remove what no version from their `oldest_code` on uses
REMOVES = re.compile(
    r"\bDROP (TABLE|COLUMN|FUNCTION)|\bRENAME\b|\bTYPE\b|\bSET NOT NULL\b|(?<!BEFORE )\bTRUNCATE\b"
)


def revisions() -> list[tuple[str, str, str]]:
    """(revision, its `oldest_code`, its source) of each migration, in order."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(Path(schema.__file__).parent.glob("versions/[0-9]*.py")):
        revision, source = path.name.partition("_")[0], path.read_text()
        if revision >= FIRST:
            declared = re.search(r'^oldest_code = "([0-9]{4})"', source, re.MULTILINE)
            assert declared, (
                f"{path.name} must have a line such as oldest_code = {FIRST!r}: the newest schema that the oldest "
                "version knows which can use the schema after this migration. One that only adds copies the line of "
                "the migration before it. See docs/operations/upgrade.md."
            )
            found.append((revision, declared[1], source))
    return found


def test_the_migrations_form_one_line() -> None:
    previous = "None"
    for path in sorted(Path(schema.__file__).parent.glob("versions/[0-9]*.py")):
        revision, source = f'"{path.name.partition("_")[0]}"', path.read_text()
        assert f"\nrevision = {revision}\n" in source, path.name
        assert f"\ndown_revision = {previous}\n" in source, path.name
        previous = revision


def test_each_migration_names_the_oldest_version_that_can_use_its_schema() -> None:
    oldest = FIRST
    for revision, oldest_code, _ in revisions():
        assert oldest <= oldest_code <= revision, f"{revision}: oldest_code only grows"
        oldest = oldest_code


def test_a_migration_that_older_versions_survive_only_adds() -> None:
    for revision, oldest_code, source in revisions():
        removed = REMOVES.search(source)
        is_expansion = oldest_code < revision
        assert not (is_expansion and removed and revision not in CONTRACTIONS), (
            f"{revision} has {removed}. If no version from {oldest_code} on uses what it removes, say so in "
            "CONTRACTIONS; otherwise its oldest_code is its own revision."
        )


@pytest.mark.parametrize(
    ("revision", "oldest_code", "is_usable"),
    [
        (HEAD, FIRST, True),
        ("9999", HEAD, True),
        ("9999", "9999", False),
        ("9999", None, False),
        ("0001", None, False),
        ("3f2a9c", None, False),
    ],
)
def test_which_schemas_this_version_can_use(revision: str, oldest_code: str | None, is_usable: bool) -> None:
    assert (fault_of(revision, oldest_code) is None) == is_usable
