"""Makes the data folder private to its owner, locks it for one `agentcontainer up`, and keeps the secret key in it."""

import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.file_lock import open_lock_file, try_lock

# Each of our processes creates one of these first, so that one exists even if the process was killed soon after.
OUR_ENTRIES = frozenset({"up.lock", "secret_key", "postgres", "runners", "blobs", "images", "lookups"})
LOCK_SECONDS = 1.0  # `is_up` takes the lock for an instant


def prepare(data_dir: Path) -> None:
    """Create the folder, readable by its owner only, or check that an existing one may be used.

    Raises:
        SettingsError: it is another user's, others may write into it, or it holds other data.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {data_dir} cannot be created: {error.strerror}."
        ) from None
    status = data_dir.stat()
    if status.st_uid != os.geteuid():
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {data_dir} belongs to another user. Run this as that user."
        )
    if status.st_mode & 0o022:
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {data_dir} is writable by other users. Run: chmod 700 {data_dir}"
        )
    if _is_foreign(data_dir):
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {data_dir} is not empty and holds no data of AgentContainer. Name a new or empty "
            f"folder, such as {data_dir / 'agentcontainer'}."
        )


def is_installation(data_dir: Path) -> bool:
    """Whether the folder holds the database of an installation."""
    return (data_dir / "postgres/data/PG_VERSION").exists()


def _is_foreign(data_dir: Path) -> bool:
    names = {path.name for path in data_dir.iterdir()} - {"lost+found"}
    return bool(names) and names.isdisjoint(OUR_ENTRIES)


@contextmanager
def up_lock(data_dir: Path) -> Generator[None]:
    """The lock that `agentcontainer up` holds while it runs; the kernel releases it when the process ends.

    Raises:
        AgentContainerError: another process holds it; the message names its pid.
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
    """Whether `agentcontainer up` is running on this data folder."""
    try:
        descriptor = open_lock_file(data_dir / "up.lock", create=False)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, is_shared=True)
    finally:
        os.close(descriptor)


def remove_if_abandoned(data_dir: Path) -> None:
    """Remove the data folder, unless its process still runs or may be starting. Errors are ignored."""
    with suppress(OSError):
        if data_dir.lstat().st_uid != os.geteuid():
            return
        descriptor = open_lock_file(data_dir / "up.lock", create=False)
        try:
            # Before it writes its pid, a starting process may not hold the lock yet.
            if os.pread(descriptor, 1, 0) and try_lock(descriptor):
                shutil.rmtree(data_dir, ignore_errors=True)
        finally:
            os.close(descriptor)


def ensure_secret_key(data_dir: Path) -> None:
    """Create the file `secret_key` if it does not exist, atomically: concurrent calls create one.

    Raises:
        SettingsError: the existing key is unusable.
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
    """The installation's secret key; None: it has not been created.

    Raises:
        SettingsError: other users can read it, or it is damaged.
    """
    path = data_dir / "secret_key"
    try:
        key, mode = path.read_text().strip(), path.stat().st_mode
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise SettingsError(f"{path} can be read by other users. Run: chmod 600 {path}")
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
