"""Every route with every kind of key and a session of each: who gets in is what the route declares, before anything
else is looked at.

The routes are the application's own, so a new one is tried without being named here.
"""

import re
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.access import Agents, Level, access_of

from .conftest import AGENT, Account, Bed, error_of, new_account
from .test_sessions import Browser, logged_in

pytestmark = pytest.mark.asyncio(loop_scope="session")
OTHER_AGENT = "agt_standard_coding"
IDS = {
    "agentId": AGENT, "taskId": f"tsk_{'z' * 26}", "batchId": f"bat_{'z' * 26}", "fileId": f"file_{'z' * 26}",
    "sequence": "1", "provider": "openai",
}  # fmt: skip
CASES = [
    pytest.param(route, method, id=f"{method} {route.path}")
    for route in ROUTES
    for method in sorted(route.methods or ())
    if access_of(route).level is not Level.PUBLIC
]


@dataclass(frozen=True)
class Keys:
    """A key of each kind, and a browser that logged in with it."""

    viewer: Account
    member: Account
    bound: Account
    limited: Account
    operator: Account
    viewing_operator: Account
    sessions: dict[str, Browser]


async def key_of(account: Account, **grant: Any) -> Account:
    """Another key of the account."""
    answer = await account.post("/api/v1/api-keys", {"name": "test"} | grant)
    assert answer.status_code == 201, answer.text
    return Account(account.bed, account.id, answer.json()["key"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keys(bed: Bed) -> Keys:
    member, operator = await new_account(bed), await new_account(bed, is_operator=True)
    keys = {
        "viewer": await key_of(member, role="viewer"),
        "member": member,
        "bound": await key_of(member, agentIds=[AGENT]),
        "limited": await key_of(member, limits={"tasksPerDay": 1000}),
        "operator": operator,
        "viewing_operator": await key_of(operator, role="viewer"),
    }
    return Keys(**keys, sessions={name: await logged_in(bed, key) for name, key in keys.items()})


def allowed(route: APIRoute) -> dict[str, bool]:
    """Whether a key of each kind gets in. A session does exactly where its key does."""
    access = access_of(route)
    acts = access.level in (Level.ACTS, Level.ADMINISTERS, Level.OPERATES)
    administers = access.level in (Level.ADMINISTERS, Level.INSPECTS, Level.OPERATES)
    is_of_operator = access.level in (Level.INSPECTS, Level.OPERATES)
    return {
        "viewer": not acts and not is_of_operator,
        "member": not is_of_operator,
        "bound": not administers and access.agents is not Agents.REFUSED,
        "limited": not administers,
        "operator": True,
        "viewing_operator": not acts,
    }


@pytest.mark.parametrize(("route", "method"), CASES)
async def test_a_route_takes_exactly_the_keys_and_sessions_that_it_declares(
    bed: Bed, keys: Keys, route: APIRoute, method: str
) -> None:
    names = re.findall(r"\{(\w+)\}", route.path)
    path = route.path.format(**{name: IDS.get(name, f"x_{'z' * 26}") for name in names})
    options: dict[str, Any] = {}
    if method not in ("GET", "HEAD"):
        # What gets in is refused for its body, so that nothing is done: a list is never an object.
        options = {"content": b"[]", "headers": {"Content-Type": "application/json"}}
    for name, is_allowed in allowed(route).items():
        account: Account = getattr(keys, name)
        for sender in (account, keys.sessions[name]):
            answer = await sender.send(method, path, **options)
            assert answer.status_code != 401, (name, answer.text)
            assert (answer.status_code == 403) == (not is_allowed), (name, answer.status_code, answer.text)
            if not is_allowed and method != "HEAD":
                assert error_of(answer)["code"] == "forbidden"
    nobody = await bed.http.request(method, path, **options)
    assert nobody.status_code == 401


async def test_a_viewer_gets_no_wake_link(keys: Keys) -> None:
    member = keys.member
    task_id = (await member.dispatch())["id"]
    await member.hibernate(task_id, link_count=1)
    for account, has_link in ((member, True), (keys.viewer, False)):
        task = (await account.get(f"/api/v1/tasks/{task_id}")).json()
        listed = (await account.get("/api/v1/tasks?status=hibernating")).json()["data"]
        assert (task["wakeUrl"] is not None) == has_link
        assert {(each["wakeUrl"] is not None) for each in listed if each["id"] == task_id} == {has_link}
