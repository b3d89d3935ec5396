"""The documentation agrees with the code: tables, links, and the tests it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from agentcontainer.api import events
from agentcontainer.api.app import ROUTES
from agentcontainer.api.feed_entries import FeedData
from agentcontainer.api.http.errors import CODES, MORE_CODES
from agentcontainer.api.routes.accounts import Account
from agentcontainer.api.routes.activities import Activity
from agentcontainer.api.routes.ledger import LedgerEntry
from agentcontainer.api.routes.outputs import OutputFile
from agentcontainer.api.routes.uploads import PreparedUpload
from agentcontainer.api.schemas.agents import Agent
from agentcontainer.api.schemas.dispatch import DispatchRequest, Overrides
from agentcontainer.api.schemas.files import File
from agentcontainer.api.schemas.messages import Message
from agentcontainer.api.schemas.tasks import Task
from agentcontainer.cli.main import app as cli
from agentcontainer.domain.feed.model import EVENT_FIELDS
from agentcontainer.domain.tasks.events import EVENT_TYPES
from agentcontainer.domain.tasks.state import MEANING, Status
from agentcontainer.prove.groups import GROUPS
from agentcontainer.prove.internet import LISTED, ONLINE
from agentcontainer.prove.network import NETWORK
from scripts import render_client_reference, render_overview
from scripts.render_settings import END, PAGE, START, table

ROOT = Path(__file__).parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs/reference"


def rows(page: str, title: str) -> dict[str, list[str]]:
    """The table on this page whose first column has this title: first cell (without backticks) → other cells."""
    cells_by_name: dict[str, list[str]] = {}
    lines = (REFERENCE / page).read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith(f"| {title} |")]
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip() for cell in line.strip("|").split("|"))
        assert first.strip("`") not in cells_by_name, f"{first} stands there twice"
        cells_by_name[first.strip("`")] = others
    return cells_by_name


def test_every_error_code_is_documented_with_its_status() -> None:
    assert {code: int(cells[0]) for code, cells in rows("errors.md", "code").items()} == {
        code: status for status, (code, _) in CODES.items()
    } | {code: status for code, (status, _) in MORE_CODES.items()}


def test_every_error_code_of_a_task_is_documented_with_who_pays() -> None:
    assert {code: cells[0] == "yes" for code, cells in rows("errors.md", "errorCode").items()} == {
        meaning.error_code: meaning.is_charged for meaning in MEANING.values() if meaning.error_code
    }


def test_every_event_type_is_documented() -> None:
    assert set(rows("events.md", "type")) == set(EVENT_TYPES)


def test_every_entry_of_the_feed_is_documented() -> None:
    documented = {
        name: set(re.findall(r"`(\w+)`", cells[0]))
        for name, cells in rows("feed.md", "type of the event").items()
    }
    assert documented == {name: set(fields) for name, fields in EVENT_FIELDS.items()}
    common = {name for cell in rows("feed.md", "field") for name in re.findall(r"\w+", cell)}
    assert properties(FeedData) == common.union(*documented.values())


def test_every_field_of_an_event_is_documented() -> None:
    described = rows("events.md", "type")
    checked: set[str] = set()
    for event in vars(events).values():
        if not (isinstance(event, type) and issubclass(event, BaseModel) and event.model_fields.get("data")):
            continue
        for name in get_args(event.model_fields["type"].annotation):
            checked.add(name)
            fields = properties(event.model_fields["data"].annotation) - {"turnNumber", "attemptNumber"}
            if name != "message.created":  # the message itself
                assert {field for field in fields if f"`{field}`" not in described[name][0]} == set(), name
    assert checked == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("account.md", Account), ("account.md", LedgerEntry), ("agents.md", Agent), ("files.md", PreparedUpload),
        ("files.md", File), ("tasks.md", Task), ("tasks.md", OutputFile), ("conversations.md", Message),
        ("conversations.md", Activity),
    ],
)  # fmt: skip
def test_the_example_of_a_resource_has_all_its_fields(page: str, model: type[BaseModel]) -> None:
    blocks = re.findall(r"^ *```json\n(.*?)^ *```", (REFERENCE / page).read_text(), re.MULTILINE | re.DOTALL)
    assert properties(model) in [set(json.loads(block)) for block in blocks]


def properties(model: Any) -> set[str]:
    """The names of a model's fields, as clients see them."""
    return set(model.model_json_schema(mode="serialization")["properties"])


def test_every_status_is_documented() -> None:
    assert list(rows("tasks.md", "status")) == [status.value for status in Status]


def test_every_field_of_a_dispatch_is_documented() -> None:
    assert set(rows("dispatch.md", "field")) == {
        field.alias for field in DispatchRequest.model_fields.values()
    }
    assert set(rows("dispatch.md", "override")) == {field.alias for field in Overrides.model_fields.values()}


def test_exactly_the_existing_routes_are_documented() -> None:
    text = "".join(page.read_text() for page in REFERENCE.glob("*.md"))
    described = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", text)
    shown = [route for route in ROUTES if route.include_in_schema]  # all but HEAD
    assert set(described) == {(method, route.path) for route in shown for method in route.methods or ()}


def test_the_settings_table_is_generated() -> None:
    assert PAGE.read_text().split(START)[1].split(END)[0].strip() == table(), "run `make docs`"


def test_the_picture_of_the_readme_is_generated() -> None:
    assert {path: path.read_text() for path in render_overview.files()} == render_overview.files(), (
        "run `make docs`"
    )


def test_the_reference_of_the_client_is_generated() -> None:
    rendered = render_client_reference.files()
    assert {path: path.read_text() for path in rendered} == rendered, "run `make docs`"


def test_every_command_and_option_is_documented() -> None:
    text = (REFERENCE / "commands.md").read_text().partition(render_client_reference.COMMANDS_END)[2]
    described = {
        words[0]: set(re.findall(r"--[a-z-]+", words[1]))
        for words in re.findall(r"^\| `agentcontainer ((?:admin )?[a-z-]+)([^`]*)`", text, re.MULTILINE)
    }
    group = typer.main.get_command(cli)
    assert isinstance(group, typer.core.TyperGroup)
    assert described == dict(commands(group))


def commands(group: typer.core.TyperGroup, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    """The words of every command, and its long options without --help."""
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, f"{prefix}{name} ")
        else:
            words = [word for parameter in command.params for word in parameter.opts if word.startswith("--")]
            yield f"{prefix}{name}", set(words)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_leads_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", paper.read_text()):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        linked = (paper.parent / path).resolve() if path else paper
        assert linked.exists(), target
        assert not heading or heading in headings(linked), target


def headings(paper: Path) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", paper.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_shows_a_claim_exists() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("sandbox.md", "security.md"))
    named = re.findall(r"`([\w/]+\.py)::(?:(\w+)::)?(\w+)`", text)
    assert len(named) > 40
    for file, group, name in named:
        text = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^\s*(async )?def {name}\(", text, re.MULTILINE), f"{file}::{name}"
        assert not group or f"class {group}:" in text, f"{file}::{group}"


def test_every_claim_of_security_is_shown_by_tests_or_attempts_that_exist() -> None:
    text = (ROOT / "docs/security.md").read_text()
    claims_found = [cells for line in text.splitlines() if len(cells := line.strip("| ").split(" | ")) == 3]
    claims = [cells for cells in claims_found if cells[2] not in ("shown by", "---")]
    assert len(claims) > 40
    groups = {group.name: {attempt.name for attempt in group.attempts} for group in (*GROUPS, ONLINE, LISTED)}
    groups["network"] = {trial.name for group in (NETWORK, ONLINE, LISTED) for trial in group.attempts}
    known = {f"{group}/{name}" for group, names in groups.items() for name in names} | groups.keys()
    for protected, _, evidence in claims:
        named = re.findall(r"`([^`]+)`", evidence)
        assert named, protected
        assert {name for name in named if "::" not in name} <= known, protected


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_source_file_that_is_named_exists(paper: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|mjs))`", paper.read_text())
    places = (ROOT, ROOT / "src/agentcontainer", ROOT / "tests")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    assert re.findall(r"\]\((0[^)]+)\)", index) == sorted(page.name for page in folder.glob("0*.md")), (
        "list it in docs/decisions/README.md"
    )


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_prose_wraps_at_100_characters(paper: Path) -> None:
    lines = re.sub(r"<!-- generated.*?<!-- end -->", "", paper.read_text(), flags=re.DOTALL).splitlines()
    long = [line for line in lines if len(line) > 100 and not line.startswith(("|", "<img", "<source"))]
    # A link cannot be broken: its line may be longer.
    assert [line for line in long if " " in re.sub(r"\[[^]]*\]\([^)]*\)", "", line).strip()] == []


@pytest.mark.parametrize(("pattern", "limit"), [("README.md", 149), ("docs/decisions/*.md", 60)])
def test_documents_stay_within_their_line_limits(pattern: str, limit: int) -> None:
    papers = list(ROOT.glob(pattern))
    assert papers
    assert [paper.name for paper in papers if len(paper.read_text().splitlines()) > limit] == []
