"""The control groups of this host, among which others make and remove theirs all the time."""

import os


def named(name: str) -> list[str]:
    """The folders of those with this name, in every hierarchy."""
    return [os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]
