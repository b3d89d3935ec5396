"""How many files and connections this process may have open."""

import resource

MOST = 1_048_576


def raise_limit() -> None:
    """Raise the soft limit, which is 1024 on most systems, to the hard one. Call it when a process starts.

    Sandboxes have a limit of their own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """The soft limit, `MOST` at most."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)
