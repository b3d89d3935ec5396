"""Crash points: where a test lets a process die, as kill -9 or a power cut would. Without a test they cost nothing.

`CRASH_POINTS_DIR` names a folder. A file in it that is named like a point arms it, once: the process whose id it
holds is killed when any process gets to that point; an empty file means the one that gets there.
"""

import os
import signal
from pathlib import Path
from typing import Literal

VARIABLE = "CRASH_POINTS_DIR"
Point = Literal[
    "dispatch", "dispatched", "claimed", "started", "prompted", "event_append", "events_appended", "finish_check",
    "outputs_stored", "settle", "settled", "checkpoint_stored", "hibernate", "wake", "woken", "restore", "sweep",
]  # fmt: skip
_folder = os.environ.get(VARIABLE)


def reach(point: Point) -> None:
    """Die here, or let another process die, if a test wants it."""
    if _folder is None:
        return
    armed = Path(_folder, point)
    try:
        victim = armed.read_text()
        armed.unlink()
    except FileNotFoundError:
        return
    os.kill(int(victim) if victim else os.getpid(), signal.SIGKILL)
