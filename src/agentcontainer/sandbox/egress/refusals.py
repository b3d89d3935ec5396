"""What was refused, told once for each host and port, and not without end: what is inside chooses what it asks for."""

from collections.abc import Callable

from agentcontainer.egress import rule_for

MAX_REFUSALS = 200

Tell = Callable[[dict[str, object]], None]


class Refusals:
    """Tells the runner, as far as it is to hear of it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[tuple[str, int | None]] = set()

    def add(self, host: str, port: int | None) -> None:
        """This host is not on the list. `port` None: its address was asked for."""
        if len(self._told) >= MAX_REFUSALS or (host, port) in self._told:
            return
        self._told.add((host, port))
        self._tell({"host": host, "port": port, "rule": rule_for(host, port)})
