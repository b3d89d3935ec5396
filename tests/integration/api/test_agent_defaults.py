"""The defaults of an agent: merged field by field, and refused where they do not fit together."""

from typing import Any

import pytest

from .agent_requests import AGENTS, DEFAULTS, PLATFORM_DEFAULTS, change, make, refused
from .conftest import Account

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"runtimeRegion": None}, {"runtimeRegion": "any"}),
        (dict.fromkeys(DEFAULTS), PLATFORM_DEFAULTS),
        ({"outputPolicy": {"mode": "none"}}, {"outputPolicy": {"mode": "none"}}),
        # An existing default that conflicts with a changed one is reset to none.
        ({"maxRuntimeSeconds": 500}, {"maxRuntimeSeconds": 500, "softFinishAfterSeconds": None}),
        (
            {"provider": "anthropic", "model": "claude-sonnet-4.6"},
            {"provider": "anthropic", "model": "claude-sonnet-4.6", "weakModel": None},
        ),
    ],
)
async def test_defaults_are_merged_field_by_field(
    alice: Account, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    agent = await make(alice, defaults=DEFAULTS)
    changed = await change(alice, agent, defaults=changes)
    assert changed["currentVersion"]["defaults"] == DEFAULTS | expected


@pytest.mark.parametrize(
    ("refused_defaults", "path"),
    [
        ({"provider": "anthropic"}, "defaults.model"),
        ({"provider": None}, "defaults.model"),
        ({"model": None}, "defaults.model"),
        ({"model": "claude-sonnet-4-6"}, "defaults.model"),
        ({"weakModel": "claude-haiku-4-5"}, "defaults.weakModel"),
        ({"softFinishAfterSeconds": 600}, "defaults.softFinishAfterSeconds"),
        (
            {"outputPolicy": {"mode": "named", "files": [{"name": "a", "jsonSchema": {"type": "x"}}]}},
            "defaults.outputPolicy.files.0.jsonSchema",
        ),
    ],
)
async def test_defaults_that_do_not_fit_together(
    alice: Account, refused_defaults: dict[str, Any], path: str
) -> None:
    agent = await make(alice, defaults=DEFAULTS)
    agent_path = f"{AGENTS}/{agent['id']}"
    error = await refused(
        alice, "PATCH", agent_path, 400, "validation_error", json={"defaults": refused_defaults, "name": "y"}
    )
    assert [detail["path"] for detail in error["details"]] == [path]
    assert (await alice.get(agent_path)).json() == agent


@pytest.mark.parametrize("refused_defaults", [{"provider": "openai"}, {"model": "gpt-5"}])
async def test_provider_and_model_of_a_new_agent_go_together(
    alice: Account, refused_defaults: dict[str, Any]
) -> None:
    body = {"name": "x", "defaults": refused_defaults}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert [detail["path"] for detail in error["details"]] == ["defaults.model"]
    assert (await make(alice, defaults={"provider": "openai", "model": "gpt-5"}))["currentVersion"]
