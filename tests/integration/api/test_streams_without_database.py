"""Event streams while the database does not answer: comments come all the time, and then the streams end."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from tests.coordination.proxy import Proxy, proxied
from tests.event_stream import Stream

from .conftest import Account, Bed
from .stream_bed import Api, append, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEEP_ALIVE_SECONDS = 0.2
SILENT_SECONDS = 4.0  # longer than the API waits between two questions to the database


@dataclass(frozen=True)
class ApiBehindProxy:
    api: Api
    proxy: Proxy


@pytest_asyncio.fixture(loop_scope="session")
async def behind(bed: Bed, short_dir: Path) -> AsyncIterator[ApiBehindProxy]:
    """An API process whose packets to the database can be dropped."""
    url = bed.settings.database_url
    assert url is not None
    [folder], [port] = (parse_qs(urlsplit(url).query)[name] for name in ("host", "port"))
    through_proxy = f"{url.partition('?')[0]}?host={short_dir}&port={port}"
    constants = {"stream__KEEP_ALIVE_SECONDS": KEEP_ALIVE_SECONDS, "hub__SILENT_SECONDS": SILENT_SECONDS}
    async with proxied(Path(folder, f".s.PGSQL.{port}"), short_dir) as proxy:
        process = serving(bed, short_dir, through_proxy, **constants)
        api = await asyncio.to_thread(process.__enter__)
        try:
            yield ApiBehindProxy(api, proxy)
        finally:
            proxy.forward_again()
            await asyncio.to_thread(process.__exit__, None, None, None)


async def comments_until_end(stream: Stream) -> list[float]:
    """When each comment came, until the stream ended."""
    at = [time.monotonic() async for frame in stream.frames() if frame.comment is not None]
    assert stream.is_whole
    stream.cut()
    return [*at, time.monotonic()]


async def test_a_stream_survives_a_short_outage_and_ends_in_a_long_one_with_comments_until_then(
    behind: ApiBehindProxy, bed: Bed, alice: Account
) -> None:
    task_id = (await alice.dispatch())["id"]
    api, feed = behind.api, "/api/v1/events?stream=true"
    async with await api.follow(task_id, alice, "&after=1") as stream:
        behind.proxy.drop_packets()
        await append(bed, task_id, ("task.titled", {"title": "Count"}))
        await asyncio.sleep(1.5)
        behind.proxy.forward_again()  # after a short outage the stream goes on
        assert [frame.id for frame in await within(10, stream.some(1))] == [2]
    await tools(bed, task_id, 40, 60_000)
    following = await api.follow(task_id, alice, "&after=42")
    reading = await api.follow(task_id, alice, receive_buffer=4096)  # it has most of the events still to read
    of_feed = await Stream.open(api.base_url, feed, alice.key)
    await within(5, asyncio.gather(of_feed.some(1), reading.some(1)))
    behind.proxy.drop_packets()
    dropped_at = time.monotonic()
    streams = (following, reading, of_feed)
    for times in await within(30, asyncio.gather(*(comments_until_end(stream) for stream in streams))):
        gaps = [later - earlier for earlier, later in zip([dropped_at, *times], times, strict=False)]
        assert max(gaps) < 2, gaps
        assert 1 < times[-1] - dropped_at < SILENT_SECONDS + 3
    assert "Traceback" not in api.log
