"""Crash points: places in the code at which a test kills a process with SIGKILL.

Without a test they do nothing.

`CRASH_POINTS_DIR` names a folder. A file in it with the name of a point arms that point once. When a process reaches
the point, the process whose id the file contains is killed; if the file is empty, the process that reached it.
"""

import os
import signal
from pathlib import Path
from typing import Literal

VARIABLE = "CRASH_POINTS_DIR"
Point = Literal[
    "dispatch", "dispatched", "claimed", "started", "prompted", "event_append", "events_appended", "finish_check",
    "outputs_stored", "settle", "settled", "checkpoint_stored", "hibernate", "wake", "woken", "restore", "clean_up",
    "outage", "numbered", "webhook_claimed", "webhook_sent", "budget_pause",
]  # fmt: skip
_folder = os.environ.get(VARIABLE)


def reach(point: Point) -> None:
    """Kill this process or another one, if a test has armed the crash point `name`."""
    if _folder is None:
        return
    armed = Path(_folder, point)
    try:
        victim = armed.read_text()
        armed.unlink()
    except FileNotFoundError:
        return
    os.kill(int(victim) if victim else os.getpid(), signal.SIGKILL)
