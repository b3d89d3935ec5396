"""An API whose database connections are all in use says so soon, instead of queueing requests without bound."""

import time

import httpx2
import pytest

from agentcontainer import db
from agentcontainer.api.app import create_app

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_request_without_a_free_connection_is_answered_with_503(bed: Bed, alice: Account) -> None:
    assert bed.settings.database_url is not None
    async with db.pool(bed.settings.database_url, max_size=1, wait_seconds=0.2) as pool:
        transport = httpx2.ASGITransport(app=create_app(bed.settings, pool, bed.vault, bed.blobs))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://testserver", verify=False
        ) as http:
            client = Account(
                Bed(bed.settings, pool, bed.vault, bed.blobs, bed.blob_folder, http), alice.id, alice.key
            )
            async with pool.acquire():
                began_at = time.monotonic()
                answer = await client.get("/api/v1/tasks")
                assert time.monotonic() - began_at < 2
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert error_of(answer)["code"] == "unavailable"
            assert (await client.get("/api/v1/tasks")).status_code == 200
