"""Pi's models.json: the gateway's address inside the sandbox, and a declaration of each model that Pi does not know."""

import json
from collections.abc import Iterable, Mapping

from agentcontainer.domain.models import catalogue
from agentcontainer.domain.models.catalogue import Provider

GATEWAY_URL_INSIDE = "http://127.0.0.1:8090"
PLACEHOLDER_KEY = "sandbox"  # the gateway adds the real key outside the sandbox
_GATEWAY_PATHS: Mapping[Provider, str] = {
    "anthropic": "/anthropic",
    "openai": "/openai/v1",
    "openrouter": "/openrouter/api/v1",
}
_PI_APIS: Mapping[Provider, str] = {
    "anthropic": "anthropic-messages",
    "openai": "openai-responses",
    "openrouter": "openai-completions",
}


def models_json(provider: Provider, models: Iterable[str], api_key: str = PLACEHOLDER_KEY) -> str:
    """The content of models.json for a task that uses these models of one provider."""
    unknown = sorted(
        {catalogue.wire_id(provider, model) for model in models if not catalogue.is_known(provider, model)}
    )
    entry = {
        "baseUrl": GATEWAY_URL_INSIDE + _GATEWAY_PATHS[provider],
        "apiKey": api_key,
        **({"models": [_declaration(provider, model) for model in unknown]} if unknown else {}),
    }
    return json.dumps({"providers": {provider: entry}}, indent=2)


def _declaration(provider: Provider, model: str) -> dict[str, str | int | list[str]]:
    return {
        "id": model,
        "name": model,
        "api": _PI_APIS[provider],
        "input": ["text", "image"] if provider != "openrouter" else ["text"],
        "contextWindow": 200_000 if model.startswith("claude-") else 128_000,
        "maxTokens": catalogue.max_tokens(provider, model),
    }
