"""Gives this process a mount namespace of its own: its mounts are invisible to others and end with it."""

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_SHARED = 0x4000, 0x40000, 0x100000
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> bool:
    """Enter a new mount namespace; False if that is not allowed: then the process must not mount anything.

    Call it before any thread starts: threads that run already stay in the old namespace. An unmount in the
    new one also takes effect in the sandboxes started from it, because launch.py makes their mounts slaves of
    it.
    """
    if os.geteuid() != 0 or _libc.unshare(_CLONE_NEWNS) != 0:  # os.unshare needs Python 3.12
        return False
    # Private first: otherwise our mounts would show on the host.
    return all(
        _libc.mount(b"none", b"/", None, _MS_REC | how, None) == 0 for how in (_MS_PRIVATE, _MS_SHARED)
    )
