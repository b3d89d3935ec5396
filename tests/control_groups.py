"""Finds control groups of this host by name, while other processes create and remove theirs."""

import os


def named(name: str) -> list[str]:
    """The folders of the control groups with this name, in every hierarchy."""
    return [os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]
