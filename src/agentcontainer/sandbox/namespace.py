"""A mount namespace of this process's own: what it mounts nobody else sees, and none of it outlives it."""

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_SHARED = 0x4000, 0x40000, 0x100000
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> bool:
    """Give this process its own view of the host's mounts; False where it may not: then it must mount nothing.

    To be called before any thread starts: those that run already would stay behind. What is unmounted later is also
    gone for the sandboxes that were started meanwhile, whose launch.py takes part in changes and makes none.
    """
    if os.geteuid() != 0 or _libc.unshare(_CLONE_NEWNS) != 0:  # os.unshare comes with Python 3.12
        return False
    # Private first: or what we mount would show on the host.
    return all(
        _libc.mount(b"none", b"/", None, _MS_REC | how, None) == 0 for how in (_MS_PRIVATE, _MS_SHARED)
    )
