"""Stores the API key of `up` as a profile of the user who started it, so that `agentcontainer run` works next."""

import contextlib
import os
import pwd
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from agentcontainer_client import AgentContainerError as ClientError
from agentcontainer_client import AsyncAgentContainer, ConfigurationError, _config, _profiles
from agentcontainer_client._config import Profile

NAME = "local"


async def write(
    base_url: str,
    api_key: str | None,
    new_key: Callable[[], Awaitable[str]],
    environment: Mapping[str, str] = os.environ,
) -> str | None:
    """Store a profile for this URL, unless one opens it already. Returns its name; None: nothing was written.

    `api_key`: that of the first account, if this start made it; otherwise `new_key` makes one. The profile is `local`,
    or `local-PORT` if `local` opens another address. `current` is left alone if it names a profile of another server.
    """
    found = owner(environment, os.geteuid())
    if found is None:
        return None
    file, ids = found
    try:
        profiles = {profile.name: profile for profile in _profiles.names(file)}
        name = NAME
        existing = profiles.get(name)
        if existing is not None and existing.url != base_url and await _opens(existing):
            name = f"{NAME}-{base_url.rpartition(':')[2]}"
            existing = profiles.get(name)
        if existing is not None and existing.url == base_url and await _opens(existing):
            return name
        key = api_key or await new_key()
        current = _profiles.current_name(file)
        is_current = current is None or current == name or current not in profiles
        store(Profile(name=name, url=base_url, api_key=key), file, ids, is_current=is_current)
    except (ConfigurationError, OSError):
        return None  # the key is printed anyway
    return name


def store(profile: Profile, file: Path, ids: tuple[int, int] | None, *, is_current: bool) -> None:
    """Store a profile. The file and the folders that are made for it belong to `ids`, a user and a group."""
    made = [folder for folder in (file.parent, file.parent.parent) if not folder.exists()]
    _profiles.store(profile, is_current=is_current, file=file)
    if ids is not None:
        for path in {file, file.parent, *made}:
            os.chown(path, *ids)


async def _opens(profile: Profile) -> bool:
    """Whether the profile's key is valid at its URL now."""
    if profile.url is None or profile.api_key is None:
        return False
    with contextlib.suppress(ClientError):
        async with AsyncAgentContainer(profile.url, profile.api_key, max_retries=0, timeout=5) as client:
            await client.account.get()
            return True
    return False


def owner(environment: Mapping[str, str], uid: int) -> tuple[Path, tuple[int, int] | None] | None:
    """The file of the user who started `up`, and the owner that it gets: under sudo, the user who called it.

    None: that user has no home folder here. `uid`: that of this process.
    """
    if uid != 0 or "SUDO_UID" not in environment:
        return _config.path(), None
    try:
        user = pwd.getpwuid(int(environment["SUDO_UID"]))
    except (ValueError, KeyError):
        return None
    home = Path(user.pw_dir)
    if not home.is_dir() or home.stat().st_uid != user.pw_uid:
        return None
    return home / ".config/agentcontainer/config.toml", (user.pw_uid, user.pw_gid)
