"""Writes Pi's models.json: the gateway's address in the sandbox, and the models that Pi does not know."""

import json
from collections.abc import Iterable

from agentcontainer.domain.models import catalogue
from agentcontainer.providers import PROVIDERS

GATEWAY_URL_INSIDE = "http://127.0.0.1:8090"
PLACEHOLDER_KEY = "sandbox"  # the gateway adds the real key outside the sandbox


def models_json(provider: str, models: Iterable[str], api_key: str = PLACEHOLDER_KEY) -> str:
    """The content of models.json for a task that uses these models of one provider."""
    unknown = sorted(
        {catalogue.wire_id(provider, model) for model in models if not catalogue.is_known(provider, model)}
    )
    entry = {
        "baseUrl": GATEWAY_URL_INSIDE + PROVIDERS[provider].gateway_path,
        "apiKey": api_key,
        **({"models": [_declaration(provider, model) for model in unknown]} if unknown else {}),
    }
    return json.dumps({"providers": {provider: entry}}, indent=2)


def _declaration(provider: str, model: str) -> dict[str, str | int | list[str]]:
    return {
        "id": model,
        "name": model,
        "api": PROVIDERS[provider].protocol,
        "input": ["text", "image"] if PROVIDERS[provider].has_images else ["text"],
        "contextWindow": 200_000 if model.startswith("claude-") else 128_000,
        "maxTokens": catalogue.max_tokens(provider, model),
    }
