"""The data folder: made private, owned by one `agentcontainer up` at a time, holding the secret key."""

import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.file_lock import open_lock_file, try_lock

LOCK_SECONDS = 1.0  # `is_up` takes the lock for an instant


def prepare(data_dir: Path) -> None:
    """Make the folder, readable by its owner only, or see that it may be used.

    Raises:
        SettingsError: it is another user's, or others may write into it.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"AGENTCONTAINER_DATA_DIR {data_dir} cannot be made: {error.strerror}.") from None
    found = data_dir.stat()
    if found.st_uid != os.geteuid():
        raise SettingsError(f"AGENTCONTAINER_DATA_DIR {data_dir} belongs to another user.")
    if found.st_mode & 0o022:
        raise SettingsError(f"AGENTCONTAINER_DATA_DIR {data_dir} is writable by others; chmod 700 it.")


@contextmanager
def up_lock(data_dir: Path) -> Generator[None]:
    """Held while `agentcontainer up` runs; goes with the process.

    Raises:
        AgentContainerError: another one holds it; names its pid.
    """
    descriptor = open_lock_file(data_dir / "up.lock")
    try:
        give_up_at = time.monotonic() + LOCK_SECONDS
        while not try_lock(descriptor):
            if time.monotonic() > give_up_at:
                pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise AgentContainerError(f"AgentContainer is already running (pid {pid}) on {data_dir}.")
            time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_up(data_dir: Path) -> bool:
    """Whether an `agentcontainer up` runs on this data folder."""
    try:
        descriptor = open_lock_file(data_dir / "up.lock", create=False)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, is_shared=True)
    finally:
        os.close(descriptor)


def ensure_secret_key(data_dir: Path) -> None:
    """Make `secret_key` if there is none: whole or not at all, and only once however many try.

    Raises:
        SettingsError: the one there is cannot be used.
    """
    if read_secret_key(data_dir) is not None:
        return
    path = data_dir / "secret_key"
    new = data_dir / f"secret_key.{secrets.token_hex(4)}"
    try:
        with open(new, "x", opener=_private) as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    _sync(data_dir)


def read_secret_key(data_dir: Path) -> str | None:
    """The installation's secret key; None: there is none yet.

    Raises:
        SettingsError: other users can read it, or it is damaged.
    """
    path = data_dir / "secret_key"
    try:
        key, mode = path.read_text().strip(), path.stat().st_mode
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise SettingsError(f"{path} can be read by other users; chmod 600 it.")
    if len(key) < 32:
        raise SettingsError(
            f"{path} is damaged: it holds fewer than 32 characters. Restore it from a backup."
        )
    return key


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
