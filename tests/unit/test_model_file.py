"""Pi's models.json."""

import json

import pytest

from agentcontainer.runner.agent.model_file import models_json


def test_the_model_file_names_the_gateway_and_declares_unknown_models() -> None:
    written = json.loads(models_json("anthropic", ["claude-sonnet-4.6", "claude-3-5-haiku-latest"]))
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
    entry = json.loads(models_json(provider, [model]))["providers"][provider]
    assert entry == {"baseUrl": f"http://127.0.0.1:8090{path}", "apiKey": "sandbox"}
