"""Reports each refused host and port once, up to a limit, because the sandbox chooses what it asks for."""

from collections.abc import Callable

from agentcontainer.egress import rule_for
from agentcontainer.sandbox.contract import RefusedHost

MAX_REFUSALS = 200


class Refusals:
    """Reports refusals to the runner with `send`."""

    def __init__(self, send: Callable[[RefusedHost], None]) -> None:
        self._send = send
        self._sent: set[tuple[str, int | None]] = set()

    def add(self, host: str, port: int | None) -> None:
        """Report that `host` is not on the list. `port` None: its address was requested."""
        if len(self._sent) >= MAX_REFUSALS or (host, port) in self._sent:
            return
        self._sent.add((host, port))
        self._send(RefusedHost(host, port, rule_for(host, port)))
