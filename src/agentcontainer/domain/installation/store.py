"""SQL on `installation` and `installation_settings`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agentcontainer.db import Connection, Pool

API_URL = "api_url"  # where the last API that has no PUBLIC_URL can be reached

_GET = "SELECT id, canary, store_marked_at FROM installation"
_ADD = """
INSERT INTO installation_settings (name, value) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO NOTHING
"""
_PUT = """
INSERT INTO installation_settings (name, value) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now()
    WHERE installation_settings.value <> excluded.value
"""
_PUBLIC_URL = """
SELECT value FROM installation_settings WHERE name IN ('public_url', 'api_url') ORDER BY name = 'public_url' DESC
LIMIT 1
"""


@dataclass(frozen=True)
class Installation:
    """The row of the installation."""

    id: str
    canary: bytes | None
    store_marked_at: datetime | None

    @property
    def canary_context(self) -> str:
        """With what the canary is encrypted."""
        return f"installation:{self.id}"


async def get(connection: Connection | Pool, *, is_locking: bool = False) -> Installation:
    """The installation. With `is_locking`, others that lock it wait for the end of the transaction."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE" if is_locking else _GET)
    assert row is not None
    return Installation(row["id"], row["canary"], row["store_marked_at"])


async def set_canary(connection: Connection | Pool, canary: bytes) -> None:
    """Store what the secret key must be able to open."""
    await connection.execute("UPDATE installation SET canary = $1", canary)


async def set_store_marked(connection: Connection | Pool) -> None:
    """Record that the object store has the installation's id."""
    await connection.execute("UPDATE installation SET store_marked_at = coalesce(store_marked_at, now())")


async def settings(connection: Connection | Pool) -> dict[str, str]:
    """The stored settings by name."""
    rows = await connection.fetch("SELECT name, value FROM installation_settings")
    return {row["name"]: row["value"] for row in rows}


async def add_settings(connection: Connection | Pool, values: Mapping[str, str]) -> None:
    """Store those of the settings that are not stored yet."""
    await connection.execute(_ADD, list(values.keys()), list(values.values()))


async def put_settings(connection: Connection | Pool, values: Mapping[str, str]) -> None:
    """Store the settings in place of earlier values."""
    await connection.execute(_PUT, list(values.keys()), list(values.values()))


async def remove_settings(connection: Connection | Pool, names: list[str]) -> None:
    """Forget these settings."""
    await connection.execute("DELETE FROM installation_settings WHERE name = ANY($1::text[])", names)


async def public_url(connection: Connection | Pool) -> str | None:
    """The URL at which clients reach the API; None: no process with PUBLIC_URL and no API has started yet."""
    return await connection.fetchval(_PUBLIC_URL)
