"""Pi's models.json."""

import json

import pytest

from agentcontainer.providers import PROVIDERS, own
from agentcontainer.runner.agent.model_file import models_json


def test_the_model_file_names_the_gateway_and_declares_unknown_models() -> None:
    written = json.loads(
        models_json(PROVIDERS["anthropic"], ["claude-sonnet-4.6", "claude-3-5-haiku-latest"])
    )
    entry = written["providers"]["anthropic"]
    assert list(written["providers"]) == ["anthropic"]
    assert entry["baseUrl"] == "http://127.0.0.1:8090/anthropic"
    assert entry["apiKey"] == "sandbox"
    assert [model["id"] for model in entry["models"]] == ["claude-3-5-haiku-latest"]
    assert entry["models"][0]["maxTokens"] == 8192
    assert entry["models"][0]["api"] == "anthropic-messages"


@pytest.mark.parametrize(
    ("provider", "path"), [("openai", "/openai/v1"), ("openrouter", "/openrouter/api/v1")]
)
def test_the_model_file_does_not_declare_known_models(provider: str, path: str) -> None:
    model = {"openai": "gpt-5.1", "openrouter": "openai/gpt-5.1"}[provider]
    entry = json.loads(models_json(PROVIDERS[provider], [model]))["providers"][provider]
    assert entry == {"baseUrl": f"http://127.0.0.1:8090{path}", "apiKey": "sandbox"}


def test_an_endpoint_of_an_account_is_declared_under_a_name_that_pi_does_not_know() -> None:
    written = json.loads(models_json(own("groq", "openai-completions"), ["qwen3:8b"]))
    entry = written["providers"]["own-groq"]
    assert entry["baseUrl"] == "http://127.0.0.1:8090/own"
    (model,) = entry["models"]
    assert (model["id"], model["api"], model["input"]) == ("qwen3:8b", "openai-completions", ["text"])
    assert model["compat"]["maxTokensField"] == "max_tokens"
    assert model["compat"]["supportsDeveloperRole"] is False
