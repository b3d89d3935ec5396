"""Finds control groups of this host by name, while other processes create and remove theirs."""

import os
import time


def named(name: str) -> list[str]:
    """The folders of the control groups with this name, in every hierarchy."""
    return [os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]


def remove_tree(name: str, seconds: float = 5) -> None:
    """Remove the groups with this name and all below them, waiting for their last processes to end."""
    deadline = time.monotonic() + seconds
    for top in named(name):
        for folder, _, _ in os.walk(top, topdown=False):
            while True:
                try:
                    os.rmdir(folder)
                except OSError:
                    assert time.monotonic() < deadline, f"{folder} is in use"
                    time.sleep(0.05)
                else:
                    break
