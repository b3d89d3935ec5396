"""Records a provider's latest error in words, without the key, and builds the failure of a request from it."""

from dataclasses import dataclass

from aiohttp import web

from agentcontainer.gateway.refusal import Refused
from agentcontainer.printable import without_controls
from agentcontainer.redaction import redact, redact_text

_QUOTED_CHARACTERS = 200  # of a web page that came instead of an answer
_MESSAGE_CHARACTERS = 1000


@dataclass(frozen=True)
class ProviderError:
    """The provider's latest error: its message, redacted, and the status that it answered with.

    The status is None if the provider did not answer, or answered with success and then failed. `is_transient`: the
    request may be repeated unchanged.
    """

    status: int | None
    message: str
    is_transient: bool = False

    def clause(self, provider: str) -> str:
        """What the provider did, in words; `provider`: its name."""
        return self.message if self.status is None else f"{provider} answered {self.status}: {self.message}"


class Unavailable(Exception):
    """The provider is overloaded or unavailable. The request may be repeated after `retry_after` seconds. `answer`:
    what the agent gets if it is not repeated."""

    def __init__(self, answer: web.Response | Refused, retry_after: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.retry_after = retry_after


class Faults:
    """The errors of one provider. `latest`: that of the latest response; None once a response begins with content."""

    def __init__(self, title: str, secrets: tuple[bytes, ...]) -> None:
        self.latest: ProviderError | None = None
        self._title = title
        self._secrets = secrets

    def note(self, predicate: str, *, is_transient: bool = False) -> ProviderError:
        """Record an error as the latest one. `predicate`: that of a sentence about the provider."""
        message = redact_text(f"{self._title} {predicate}", self._secrets)[:_MESSAGE_CHARACTERS]
        self.latest = ProviderError(None, message, is_transient)
        return self.latest

    def refused(self, predicate: str, status: int = 502) -> Refused:
        """The failure of a request, which the agent gets with this status."""
        return Refused(status, self.note(predicate).message)

    def unavailable(self, predicate: str, retry_after: float = 0.0) -> Unavailable:
        """The failure of a request that may be repeated."""
        return Unavailable(Refused(502, self.note(predicate, is_transient=True).message), retry_after)

    def quoted(self, body: bytes) -> str:
        """The beginning of a successful response that is no model's answer, such as a login page."""
        text = without_controls(redact(body, self._secrets).decode("utf-8", "replace"))
        return " ".join(text.split())[:_QUOTED_CHARACTERS]
