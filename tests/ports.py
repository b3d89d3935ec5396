"""Free loopback ports for processes that are started later."""

import itertools
import os
import socket

_FIRST, _EACH, _RANGES = 10_000, 2_500, 9  # below Linux's ephemeral port range
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _RANGES
_offsets = itertools.count(os.getpid() * 7)


def free_port() -> int:
    """A free port from a range that belongs to this test process, so no other test process takes it."""
    while True:
        port = _FIRST + _WORKER * _EACH + next(_offsets) % _EACH
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
