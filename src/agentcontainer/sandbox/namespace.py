"""Gives this process a mount namespace of its own: its mounts are invisible to the host and end with it.

What the host mounts or unmounts later takes effect in it.
"""

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_SLAVE, _MS_SHARED = 0x4000, 0x80000, 0x100000
_libc = ctypes.CDLL(None, use_errno=True)


def current() -> int:
    """A descriptor of the mount namespace that this process is in, with which others can enter it."""
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def enter() -> bool:
    """Enter a new mount namespace; False if that is not allowed: then the process must not mount anything.

    Call it before any thread starts: threads that run already stay in the old namespace. An unmount in the
    new one also takes effect in the sandboxes started from it, because launch.py makes their mounts slaves of
    it.
    """
    if os.geteuid() != 0 or _libc.unshare(_CLONE_NEWNS) != 0:  # os.unshare needs Python 3.12
        return False
    # A slave first: the host's mounts come in, such as a store that is mounted later, and ours do not show on the
    # host. If it were private, a disk that the host unmounts would stay in use here.
    return all(_libc.mount(b"none", b"/", None, _MS_REC | how, None) == 0 for how in (_MS_SLAVE, _MS_SHARED))
