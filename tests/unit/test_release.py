"""What a release must agree on: the versions, the changelog, the licences of others."""

import re
import tomllib
from pathlib import Path

from agentcontainer_client._version import __version__
from scripts import render_licences

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SECTION = re.compile(r"^## (\d+\.\d+\.\d+)(?: \((\d{4}-\d\d-\d\d|unreleased)\))$", re.MULTILINE)


def test_server_and_client_have_the_same_version() -> None:
    assert PROJECT["version"] == __version__
    assert f"agentcontainer-client[cli]=={__version__}" in PROJECT["dependencies"]


def test_the_changelog_has_a_section_for_each_release_and_this_version_is_the_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = SECTION.findall(text)
    assert len(sections) == len(re.findall(r"^## ", text, re.MULTILINE)), (
        "a section is `## 1.2.3 (2026-01-31)`"
    )
    versions = [tuple(map(int, version.split("."))) for version, _ in sections]
    assert sections[0][0] == PROJECT["version"]
    assert versions == sorted(set(versions), reverse=True)
    assert "unreleased" not in [date for _, date in sections[1:]]


def test_the_list_of_licences_is_generated_and_in_the_wheel() -> None:
    assert render_licences.PAGE.read_text() == render_licences.page(), "run: make docs"
    assert PROJECT["license-files"] == ["LICENSE", render_licences.PAGE.name]
