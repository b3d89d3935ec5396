"""The control socket against a hostile sandbox, byte by byte: only a valid request has an effect."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.runner import control
from tests.raw_http import MIB, chunked, exchange, memory_bytes, request, statuses, undeclared
from tests.socket_flood import flooding, until_at_most

from .test_control import FINISH, SHARE, Bed

ASKED = json.dumps(FINISH).encode()
SIZE = len(ASKED)
TE = b"Transfer-Encoding: chunked"
PLAIN = request(b"/finish", body=ASKED)
MAX_GROWTH_BYTES = 32 * MIB  # of the runner during an attack


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[Bed]:
    bed = Bed(short_dir)
    await bed.control.start(bed.socket)
    yield bed
    await bed.control.close()


REFUSED = {
    "length and chunks": request(b"/finish", TE, body=chunked(ASKED)),
    "chunks and length": undeclared(b"/finish", b"Content-Length: 4", TE, body=chunked(ASKED)),
    "two lengths": request(b"/finish", b"Content-Length: 4", body=ASKED),
    "negative length": undeclared(b"/finish", b"Content-Length: -1", body=ASKED),
    "huge length": undeclared(b"/finish", b"Content-Length: 99999999999999999999999", body=ASKED),
    "unknown coding": undeclared(b"/finish", b"Transfer-Encoding: xchunked", body=chunked(ASKED)),
    "huge chunk": undeclared(b"/finish", TE, body=b"ffffffffffffffffff\r\nx"),
    "endless chunks": undeclared(b"/finish", TE, body=b"100\r\n%s\r\n" % (b"x" * 256) * 5000),
    "compressed": request(b"/finish", b"Content-Encoding: gzip", body=ASKED),
    "compressed in the second place": request(
        b"/finish", b"Content-Encoding: identity", b"Content-Encoding: gzip", body=ASKED
    ),
    "GET": request(b"/finish", body=ASKED, method=b"GET"),
    "lower case": request(b"/finish", body=ASKED, method=b"post"),
    "more path": request(b"/finish/", body=ASKED),
    "two slashes": request(b"//finish", body=ASKED),
    "dots": request(b"/x/../finish", body=ASKED),
    "encoded NUL": request(b"/finish%00", body=ASKED),
    "another command": request(b"/wake", body=ASKED),
    "CONNECT": b"CONNECT finish:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + b"\0" * 500,
    "line feeds only": PLAIN.replace(b"\r\n", b"\n"),
    "header of 1 MB": request(b"/finish", b"X-A: " + b"a" * MIB, body=ASKED),
    "ten thousand headers": request(b"/finish", *(b"X-%d: 1" % n for n in range(10_000)), body=ASKED),
    "empty": request(b"/finish"),
    "no object": request(b"/finish", body=b"[" * 100_000),
    "deep": request(b"/finish", body=b'{"files":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": request(b"/finish", body=b'{"files":' * 100_000),
    "many names": request(b"/finish", body=json.dumps(FINISH | {f"x{n}": n for n in range(50_000)}).encode()),
    "many faults": request(b"/finish", body=json.dumps(FINISH | {"files": [1] * 200_000}).encode()),
    "many files": request(b"/finish", body=json.dumps(FINISH | {"files": ["a"] * 100_000}).encode()),
    "huge number": request(b"/finish", body=ASKED[:-1] + b',"files":' + b"9" * 100_000 + b"}"),
    "no number": request(b"/finish", body=ASKED[:-1] + b',"files":NaN}'),
    "half a surrogate": request(b"/finish", body=ASKED.replace(b"Done.", b"\\ud800")),
    "not UTF-8": request(b"/finish", body=ASKED.replace(b"Done.", b"\xff\xfe")),
    "another encoding": request(b"/finish", body=ASKED.decode().encode("utf-16")),
    "two documents": request(b"/finish", body=ASKED + ASKED),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_an_invalid_request_does_not_finish_the_task(
    bed: Bed, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "aiohttp.server")  # as the runner sets it
    answer = await exchange(bed.socket, data, 1)
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    assert answer or len(data) > 100_000  # cut while it was still sending
    assert not bed.accepted
    assert caplog.text == ""
    assert (await bed.post(ASKED))[0] == 200


@pytest.mark.parametrize("fault", ["x" * 900_000, "\x1b]0;owned\x07", "<script>"])
async def test_the_reason_of_a_refusal_is_bounded(bed: Bed, fault: str) -> None:
    status, message = await bed.post(json.dumps(FINISH | {fault: 1}).encode())
    assert status == 422
    assert "unknown field" in message
    assert len(message) < 10_000
    assert all(len(reason) < 10_000 for reason in bed.refusals)


async def test_a_repeated_field_counts_once(bed: Bed) -> None:
    body = ASKED[:-1] + b',"message":"Done twice."}'
    assert (await bed.post(body))[0] == 200
    assert [finish.message for finish in bed.accepted] == ["Done twice."]


async def test_requests_sent_in_one_go_are_answered_one_by_one(bed: Bed) -> None:
    bed.is_conversation = True
    share = request(b"/share", body=json.dumps(SHARE).encode())
    answer = await exchange(bed.socket, (share + request(b"/nowhere")) * 20, 40)
    assert statuses(answer) == [200, 404] * 20
    assert len(bed.shared) == 20


async def test_a_thousand_connections_take_little_memory_and_nothing_from_another_task(
    bed: Bed, short_dir: Path
) -> None:
    (short_dir / "n").mkdir()
    neighbour = Bed(short_dir / "n")
    await neighbour.control.start(neighbour.socket)
    try:
        before = memory_bytes()
        async with flooding(bed.socket, "/finish", 1000):
            await until_at_most(bed.socket, control.MAX_CONNECTIONS)
            for _ in range(5):
                assert (await neighbour.post(ASKED))[0] == 200
            assert memory_bytes() - before < MAX_GROWTH_BYTES
        await until_at_most(bed.socket, 0)
        assert (await bed.post(ASKED))[0] == 200
        assert len(bed.accepted) == 1
    finally:
        await neighbour.control.close()


async def test_an_incomplete_request_has_no_effect(bed: Bed) -> None:
    for data in (PLAIN[:-1], undeclared(b"/finish", TE, body=chunked(ASKED)[:-3])):
        _, writer = await asyncio.open_unix_connection(str(bed.socket))
        writer.write(data)
        await writer.drain()
        writer.transport.abort()
    await until_at_most(bed.socket, 0)
    assert bed.accepted == []
