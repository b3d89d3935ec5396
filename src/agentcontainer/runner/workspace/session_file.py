"""Whether a restored workspace still has the agent's session, which the agent can remove or damage."""

import contextlib
import itertools
import os
import secrets
import stat
from collections.abc import Generator
from pathlib import Path

from agentcontainer.runner.agent import launch
from agentcontainer.runner.workspace.safe_open import open_safely

PARENT, SESSIONS = launch.SESSIONS_FOLDER.rsplit("/", 1)
MAX_FILES = 100
MAX_HEADER_BYTES = 64 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def exists(workspace: Path, session_id: str) -> bool:
    """Whether Pi will find a session with this id: a file with its header and at least one entry. Blocks."""
    try:
        with _opened(workspace, launch.SESSIONS_FOLDER) as folder:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in itertools.islice(entries, MAX_FILES)]
            return any(_is_session(folder, name, session_id) for name in names if name.endswith(".jsonl"))
    except OSError:
        return False


def set_aside(workspace: Path) -> None:
    """Rename what is there instead of sessions, so that Pi does not stumble over it."""
    with contextlib.suppress(OSError), _opened(workspace, PARENT) as folder:
        os.rename(
            SESSIONS, f"{SESSIONS}-damaged-{secrets.token_hex(4)}", src_dir_fd=folder, dst_dir_fd=folder
        )


@contextlib.contextmanager
def _opened(workspace: Path, path: str) -> Generator[int]:
    with contextlib.ExitStack() as stack:
        root = os.open(workspace, _FOLDER)
        stack.callback(os.close, root)
        folder = open_safely(root, path, _FOLDER)
        stack.callback(os.close, folder)
        yield folder


def _is_session(folder: int, name: str, session_id: str) -> bool:
    try:
        descriptor = open_safely(folder, name)
    except OSError:
        return False
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return is_file and launch.is_session(os.read(descriptor, MAX_HEADER_BYTES), session_id)
    except OSError:
        return False
    finally:
        os.close(descriptor)
