"""Overrides, defaults and executions in their stored form, which rows of earlier versions hold."""

from typing import Any

import pytest

from agentcontainer.domain.execution import store
from agentcontainer.domain.execution.model import Budget, NamedOutput, OutputPolicy, Overrides
from agentcontainer.domain.execution.service import platform_defaults
from agentcontainer.domain.unset import UNSET
from agentcontainer.settings import Settings

POLICY = {
    "mode": "named",
    "files": [
        {"name": "report"},
        {"name": "data", "required": True, "contentType": "text/csv", "maxBytes": 10},
        {"name": "list", "required": False, "jsonSchema": {"type": "null", "default": None}},
        {"name": "any", "jsonSchema": False},
    ],
}
EXECUTION = {
    "provider": "openai",
    "model": "gpt-5.2",
    "weakModel": None,
    "internetAccess": True,
    "maxRuntimeSeconds": 60,
    "softFinishAfterSeconds": None,
    "outputPolicy": POLICY,
    "runtimeRegion": "eu",
}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"provider": "openai", "model": "gpt-5.2", "weakModel": "gpt-5-mini", "internetAccess": False},
        {"maxRuntimeSeconds": 60, "softFinishAfterSeconds": 30, "runtimeRegion": "any", "runtime": "pi"},
        {"outputPolicy": POLICY},
        {"outputPolicy": {"mode": "none"}},
        {"budget": {"maxCostUsd": 9999.999999, "maxTokens": 5}},
        {"budget": {"maxCostUsd": 0.000001}},
        {"egress": {"allow": ["pypi.org:443", "*.example.com"]}},
    ],
)
def test_overrides_are_read_and_written_unchanged(form: dict[str, Any]) -> None:
    assert store.overrides_to_json(store.overrides_of(form)) == form


@pytest.mark.parametrize(
    "fields",
    [{}, {"budget": {"maxTokens": 1}}, {"egress": {"allow": ["a.example"]}, "weakModel": "gpt-5-mini"}],
)
def test_an_execution_is_read_and_written_unchanged(fields: dict[str, Any]) -> None:
    form = EXECUTION | fields
    assert store.execution_to_json(store.execution_of(form)) == form


def test_defaults_are_read_and_written_unchanged() -> None:
    form = EXECUTION | {"sessionTtlSeconds": 5}
    assert store.defaults_to_json(store.defaults_of(form)) == form


def test_fields_that_an_old_row_lacks_have_the_platforms_defaults() -> None:
    assert store.defaults_of({"weakModel": None, "model": None}) == platform_defaults(Settings())


def test_keys_missing_in_the_row_are_unset() -> None:
    overrides = store.overrides_of({"budget": {"maxCostUsd": 1.5}, "outputPolicy": POLICY})
    assert overrides == Overrides(budget=Budget(1_500_000), output_policy=overrides.output_policy)
    assert overrides.weak_model is UNSET
    assert isinstance(overrides.output_policy, OutputPolicy)
    assert overrides.output_policy.files[0] == NamedOutput("report")
    assert [output.is_required for output in overrides.output_policy.files] == [True, True, False, True]
