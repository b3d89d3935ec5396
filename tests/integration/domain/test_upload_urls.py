"""Upload URLs expire by the database's clock, because the clocks of hosts differ."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.domain.uploads.model import PreparedUpload
from agentcontainer.domain.uploads.service import SignedRequest
from agentcontainer.errors import Forbidden
from tests.shifted_clock import shift_clock

VAULT = Vault("k" * 32)


async def test_upload_urls_expire_by_the_databases_clock(
    database_url: str, pool: Pool, account_id: str, short_dir: Path
) -> None:
    configured = settings.load(data_dir=short_dir, database_url=database_url, public_url="http://test")
    blobs = Blobs(f"file://{short_dir}/blobs")

    async def prepare(used: Pool) -> PreparedUpload:
        return await uploads.prepare(used, configured, VAULT, blobs, account_id, "a.csv", "text/csv", 1)

    async def send(used: Pool, prepared: PreparedUpload) -> None:
        query = dict(pair.split("=") for pair in prepared.url.partition("?")[2].split("&"))
        request = SignedRequest("PUT", query["expires"], query["signature"], "text/csv", 1)
        await uploads.receive(used, configured, VAULT, blobs, prepared.id, request, one_byte())

    early = await prepare(pool)
    await send(pool, early)
    await shift_clock(pool, 7200)
    async with db.pool(database_url) as shifted:
        with pytest.raises(Forbidden, match="has expired"):
            await send(shifted, early)
        late = await prepare(shifted)
        life = late.expires_at - await db.now(shifted)
        assert timedelta(minutes=59) < life <= timedelta(hours=1)
        await send(shifted, late)


async def one_byte() -> AsyncIterator[bytes]:
    yield b"x"
