"""Failures as sentences, in the words of the command line."""

import re

from agentcontainer_client.cli.text import harmless
from agentcontainer_client.errors import ApiError, ConnectionFailed, TimedOut

OPTIONS = {
    "budget.maxTokens": "--budget-tokens",
    "budget": "--budget",
    "instructions": "PROMPT",
    "inputFileIds": "FILE",
    "inputRepositories": "--repo",
    "metadata": "--metadata",
    "overrides.budget.maxTokens": "--budget-tokens",
    "overrides.budget": "--budget",
    "overrides.egress": "--internet",
    "overrides.internetAccess": "--internet",
    "overrides.maxRuntimeSeconds": "--max-runtime",
    "overrides.model": "--model",
    "overrides.outputPolicy": "--output",
    "overrides.provider": "--provider",
    "status": "--status",
    "title": "--title",
}
"""The option or argument that becomes a field of a request."""
_FIELD = re.compile(r"^( *)([A-Za-z][A-Za-z0-9_.]*)(?=: )", re.MULTILINE)


def sentence(error: Exception) -> str:
    """What failed, without characters that could steer a terminal."""
    return harmless(_text(error))


def _text(error: Exception) -> str:
    if isinstance(error, ApiError):
        return _FIELD.sub(lambda match: match[1] + _option(match[2]), str(error))
    if isinstance(error, ConnectionFailed) and not isinstance(error, TimedOut):
        return f"{error}. Is the server running, and is the URL right?"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)


def _option(field: str) -> str:
    return next((OPTIONS[name] for name in OPTIONS if f"{field}.".startswith(f"{name}.")), field)
