"""How many files and connections this process may have open."""

import resource

MAX_FILES = 1_048_576


def raise_limit() -> None:
    """Raise the soft limit, which is 1024 on most systems, to the hard one. Call it when a process starts.

    Sandboxes have a limit of their own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def limit() -> int:
    """The soft limit, `MAX_FILES` at most."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_FILES if soft == resource.RLIM_INFINITY else min(soft, MAX_FILES)
