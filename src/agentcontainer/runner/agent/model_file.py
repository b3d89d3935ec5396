"""Writes Pi's models.json: the gateway's address in the sandbox, and the models that Pi does not know."""

import json
from collections.abc import Iterable

from agentcontainer.domain.models import catalogue
from agentcontainer.providers import Provider

GATEWAY_URL_INSIDE = "http://127.0.0.1:8090"
# What Pi leaves out of its requests: servers that speak OpenAI's older protocol know only its common part.
COMPATIBLE: dict[str, bool | str] = {
    "supportsStore": False,
    "supportsDeveloperRole": False,
    "supportsReasoningEffort": False,
    "supportsStrictMode": False,
    "supportsUsageInStreaming": True,
    "maxTokensField": "max_tokens",
}
Declaration = dict[str, str | int | list[str] | dict[str, bool | str]]
PLACEHOLDER_KEY = "sandbox"  # the gateway adds the real key outside the sandbox


def pi_name(provider: Provider) -> str:
    """Pi's name of the provider. Pi knows many providers, and must not take an account's endpoint for one of them."""
    return f"own-{provider.name}" if provider.is_own else provider.name


def models_json(provider: Provider, models: Iterable[str], api_key: str = PLACEHOLDER_KEY) -> str:
    """The content of models.json for a task that uses these models of one provider."""
    name = provider.name
    unknown = sorted(
        {catalogue.wire_id(name, model) for model in models if not catalogue.is_known(name, model)}
    )
    entry = {
        "baseUrl": GATEWAY_URL_INSIDE + provider.gateway_path,
        "apiKey": api_key,
        **({"models": [_declaration(provider, model) for model in unknown]} if unknown else {}),
    }
    return json.dumps({"providers": {pi_name(provider): entry}}, indent=2)


def _declaration(provider: Provider, model: str) -> Declaration:
    declaration: Declaration = {
        "id": model,
        "name": model,
        "api": provider.protocol,
        "input": ["text", "image"] if provider.has_images else ["text"],
        "contextWindow": 200_000 if model.startswith("claude-") else 128_000,
        "maxTokens": catalogue.max_tokens(provider.name, model),
    }
    if provider.is_own and provider.protocol == "openai-completions":
        declaration["compat"] = COMPATIBLE
    return declaration
