"""Completes the settings with what `api` and `runner` need and the operator left out."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
from pydantic import SecretStr

from agentcontainer.cli.data_dir import read_secret_key
from agentcontainer.embedded.location import locate_url
from agentcontainer.errors import SettingsError, Unavailable
from agentcontainer.settings import Settings


def resolve(settings: Settings) -> Settings:
    """A copy with `database_url`, `storage_url` and `secret_key` filled.

    Raises:
        SettingsError: no database is running, or there is no secret key; the message says what to do.
    """
    database_url = settings.database_url or locate_url(settings)
    if database_url is None:
        raise SettingsError(
            f"No database: AGENTCONTAINER_DATABASE_URL is not set, and no `agentcontainer up` is running on "
            f"{settings.data_dir}. Set the variable, or start `agentcontainer up`."
        )
    return settings.model_copy(
        update={
            "database_url": database_url,
            "storage_url": settings.storage_url or (settings.data_dir / "blobs").as_uri(),
            "secret_key": settings.secret_key or _stored_secret_key(settings),
        }
    )


@asynccontextmanager
async def reaching() -> AsyncGenerator[None]:
    """Turns failures to use the configured database within the block into `Unavailable`.

    Raises:
        Unavailable: the database cannot be used. The message says why, but not the URL, which contains a password.
    """
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"The database of AGENTCONTAINER_DATABASE_URL cannot be used: {reason}.") from None


def _stored_secret_key(settings: Settings) -> SecretStr:
    key = read_secret_key(settings.data_dir)
    if key is None:
        raise SettingsError(
            f"No secret key: AGENTCONTAINER_SECRET_KEY is not set, and {settings.data_dir} holds none "
            "(`agentcontainer up` creates it at its first start)."
        )
    return SecretStr(key)
