"""Each route declares which keys it takes; what a key may do is compared part by part."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.access import Agents, Level, access, access_of, check, reads
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.api.http.routing import authenticated
from agentcontainer.domain.accounts.principal import FULL, Grant, Limits, Principal
from agentcontainer.domain.audit.actions import MEANING
from agentcontainer.errors import Forbidden
from scripts.render_access import END, PAGE, START, table

REFERENCE = Path(__file__).parents[2] / "docs/reference"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
numbers = st.none() | st.integers(0, 3)
grants = st.builds(
    Grant,
    st.sampled_from(["viewer", "member"]),
    st.none() | st.frozensets(st.sampled_from("abc")),
    st.builds(Limits, numbers, numbers, numbers),
    st.none() | st.integers(0, 3).map(lambda days: NOW + timedelta(days=days)),
)

READ_BY_FEW = {
    "get_callback_secret": Level.ADMINISTERS,
    "export_account": Level.OPERATES,
}  # all secrets, or all data


def test_routes_need_a_key_unless_they_are_public() -> None:
    for route in ROUTES:
        assert is_authenticated(route) == (access_of(route).level is not Level.PUBLIC), route.path


def test_only_reads_have_methods_that_are_safe_and_the_reverse() -> None:
    """`reads` is declared, not derived from the method; today the two agree."""
    for route in ROUTES:
        level = access_of(route).level
        if route.name in READ_BY_FEW:
            assert level is READ_BY_FEW[route.name]
        elif level in (Level.READS, Level.INSPECTS):
            assert route.methods in ({"GET"}, {"HEAD"}), route.path
        elif level is not Level.PUBLIC:
            assert not {"GET", "HEAD"} & (route.methods or set()), route.path


def test_a_route_without_a_decision_cannot_be_made() -> None:
    router = authenticated("Test")

    async def undecided() -> None: ...

    with pytest.raises(TypeError, match="undecided declares no access"):
        router.get("/undecided")(undecided)


def test_a_route_without_an_id_must_decide_about_agents() -> None:
    router = authenticated("Test")

    @reads
    async def list_all() -> None: ...

    with pytest.raises(TypeError, match="must be decided"):
        router.get("/all")(list_all)
    router.get("/all")(access(Level.READS, Agents.FILTERED)(list_all))


def test_the_table_of_routes_is_generated() -> None:
    assert PAGE.read_text().split(START)[1].split(END)[0].strip() == table(), "run `make docs`"


def test_every_action_of_the_audit_log_is_documented() -> None:
    _, _, actions = (REFERENCE / "audit.md").read_text().partition("| action |")
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", actions, re.MULTILINE)
    assert dict(rows) == dict(MEANING)


@given(grants)
def test_everything_is_within_a_full_key(grant: Grant) -> None:
    assert grant.is_within(FULL)
    assert grant.is_within(grant)
    assert FULL.is_within(grant) == (grant == FULL)


@given(grants, grants, grants)
def test_within_is_an_order(a: Grant, b: Grant, c: Grant) -> None:
    if a.is_within(b) and b.is_within(c):
        assert a.is_within(c)
    if a.is_within(b) and b.is_within(a):
        assert a == b


@pytest.mark.parametrize(
    "more",
    [
        Grant("viewer", frozenset("a"), Limits(1, 1, 1), NOW),
        Grant(agent_ids=frozenset("ab"), limits=Limits(1, 1, 1), expires_at=NOW),
        Grant(agent_ids=frozenset("a"), limits=Limits(None, 1, 1), expires_at=NOW),
        Grant(agent_ids=frozenset("a"), limits=Limits(1, 2, 1), expires_at=NOW),
        Grant(agent_ids=frozenset("a"), limits=Limits(1, 1, 1), expires_at=NOW + timedelta(seconds=1)),
        Grant(agent_ids=frozenset("a"), limits=Limits(1, 1, 1)),
    ],
)
def test_one_part_that_is_more_is_not_within(more: Grant) -> None:
    grant = Grant("viewer" if more.role == "member" else "member", frozenset("a"), Limits(1, 1, 1), NOW)
    if more.role == "viewer":
        assert more.is_within(grant) and not grant.is_within(more)
        return
    assert not more.is_within(grant)
    assert not more.is_within(replace(grant, role="member"))


def test_a_viewer_may_try_a_dispatch_but_not_dispatch() -> None:
    [route] = [route for route in ROUTES if route.name == "dispatch_task"]
    viewer = Principal("acc_1", "key", "key_1", "key_1", Grant(role="viewer"))
    check(access_of(route), viewer, is_trial=True)
    with pytest.raises(Forbidden):
        check(access_of(route), viewer)
    [archive] = [route for route in ROUTES if route.name == "archive_agent"]
    with pytest.raises(Forbidden):
        check(access_of(archive), viewer, is_trial=True)
