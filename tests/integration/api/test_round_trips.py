"""How many round trips to the database a request takes, which is what makes it slow where that is far away."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio

from agentcontainer import db
from agentcontainer.api.app import create_app
from tests.coordination.proxy import Proxy, proxied

from .conftest import AGENT, Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def far(bed: Bed, short_dir: Path) -> AsyncIterator[tuple[Bed, Proxy]]:
    """The application behind a proxy that counts, with one connection to the database."""
    url = bed.settings.database_url
    assert url is not None
    [folder], [port] = (parse_qs(urlsplit(url).query)[name] for name in ("host", "port"))
    through_proxy = f"{url.partition('?')[0]}?host={short_dir}&port={port}"
    async with (
        proxied(Path(folder, f".s.PGSQL.{port}"), short_dir) as proxy,
        db.pool(through_proxy, max_size=1) as pool,
    ):
        app = create_app(bed.settings, pool, bed.vault, bed.blobs)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://testserver", verify=False
        ) as http:
            yield Bed(bed.settings, pool, bed.vault, bed.blobs, bed.blob_folder, http), proxy


@pytest.mark.parametrize(("has_key", "most"), [(False, 5), (True, 6)])
async def test_a_dispatch_takes_few_round_trips(
    far: tuple[Bed, Proxy], alice: Account, has_key: bool, most: int
) -> None:
    client, proxy = Account(far[0], alice.id, alice.key), far[1]
    body = {"inputFileIds": [await alice.upload()], "skills": [await alice.upload(filename="skill.zip")]}
    for number in range(3):  # the first ones also prepare the statements
        proxy.round_trips = 0
        headers = {"Idempotency-Key": f"{number}"} if has_key else {}
        answer = await client.post(
            f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x"} | body, headers=headers
        )
        assert answer.status_code == 201, answer.text
    assert proxy.round_trips <= most
