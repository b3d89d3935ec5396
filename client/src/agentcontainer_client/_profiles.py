"""Writes the file of profiles, readable by its owner only."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from agentcontainer_client import _config
from agentcontainer_client._config import Profile
from agentcontainer_client.errors import ConfigurationError

STALE_SECONDS = 5.0


def store(profile: Profile, *, is_current: bool = True, file: Path | None = None) -> Path:
    """Store a profile, in place of one of the same name. Returns the file.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    file = file or _config.path()
    fields = {"url": profile.url, "api_key": profile.api_key, "agent": profile.agent, "model": profile.model}
    with _locked(file):
        content = _config.read(file)
        profiles = dict(content.get("profiles", {}))
        profiles[profile.name] = {name: value for name, value in fields.items() if value is not None}
        current = profile.name if is_current else content.get("current")
        _write(file, current, profiles)
    return file


def remove(name: str, file: Path | None = None) -> bool:
    """Remove a profile. Returns whether there was one."""
    file = file or _config.path()
    if not file.exists():
        return False
    with _locked(file):
        content = _config.read(file)
        profiles = dict(content.get("profiles", {}))
        if profiles.pop(name, None) is None:
            return False
        current = content.get("current")
        _write(file, next(iter(profiles), None) if current == name else current, profiles)
    return True


def names(file: Path | None = None) -> list[Profile]:
    """All profiles."""
    return [
        found
        for name in _config.read(file).get("profiles", {})
        if (found := _config.profile(str(name), file)) is not None
    ]


def current_name(file: Path | None = None) -> str | None:
    """The name of the profile that is used if none is named."""
    current = _config.read(file).get("current")
    return current if isinstance(current, str) else None


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Make the folder, and let one process at a time change the file, so that no profile is lost."""
    lock = file.with_name(".config.lock")  # a lock of the system would differ between systems
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not _is_made(lock):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > STALE_SECONDS:  # its process was killed
                    lock.unlink()
            time.sleep(0.01)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def _is_made(lock: Path) -> bool:
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _write(file: Path, current: str | None, profiles: Mapping[str, Any]) -> None:
    lines = [
        "# Written by `agentcontainer login` and `agentcontainer up`. Contains API keys: keep it to yourself."
    ]
    lines += [f"current = {json.dumps(current)}"] if current else []
    for name, fields in profiles.items():
        lines += ["", f"[profiles.{json.dumps(name)}]"]
        for key, value in cast("Mapping[str, object]", fields).items():
            if isinstance(value, str | bool | int):
                lines.append(f"{key} = {json.dumps(value)}")
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".config.")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write("\n".join(lines) + "\n")
        try:
            Path(name).replace(file)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
