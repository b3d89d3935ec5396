"""Ports of loopback for processes that are started later."""

import itertools
import os
import socket

_FIRST, _EACH = 10_000, 5_000  # below those that Linux gives out by itself, to whoever asks
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_offsets = itertools.count(os.getpid() * 7)


def free_port() -> int:
    """A port that nobody listens on, and that no other test process is given: it stays free until it is bound."""
    while True:
        port = _FIRST + _WORKER * _EACH + next(_offsets) % _EACH
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
