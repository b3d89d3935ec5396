"""The gateway against a hostile sandbox and a hostile provider, byte by byte over its real socket."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentcontainer.gateway.faults import ProviderError
from tests.raw_http import MIB, chunked, exchange, memory_bytes, request, statuses, undeclared
from tests.socket_flood import flood, flooding, until_at_most

from .test_gateway import KEY, MESSAGES, Inside, body, gateway_to, provider_that, sse

PATH = MESSAGES.encode()
ASKED = json.dumps(body(MESSAGES)).encode()
SIZE = len(ASKED)
TE = b"Transfer-Encoding: chunked"
PLAIN = request(PATH, body=ASKED)
OTHERS_KEY = "sk-other-fedcba9876543210"
MAX_GROWTH_BYTES = 40 * MIB  # of the runner during an attack
# Of this process, which is provider, gateway and reader at once, for each response that nobody reads: about 0.5 MiB for
# the pieces of the stream at each of its five stops (both sides of two connections, and the relay between them).
MAX_UNREAD_BYTES = 4 * MIB


@dataclass
class ProviderRequest:
    """A request that the provider received."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Bed:
    """A task's gateway, and the requests that reached its provider."""

    inside: Inside
    requests: list[ProviderRequest] = field(default_factory=list[ProviderRequest])


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[Bed]:
    requests: list[ProviderRequest] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requests.append(
            ProviderRequest(request.raw_path, list(request.headers.items()), await request.read())
        )
        return web.json_response({"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}})

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        yield Bed(inside, requests)


REFUSED = {
    "length and chunks": request(PATH, TE, body=chunked(ASKED)),
    "chunks and length": undeclared(PATH, b"Content-Length: 4", TE, body=chunked(ASKED)),
    "length twice": request(PATH, b"Content-Length: %d" % SIZE, body=ASKED),
    "two lengths": request(PATH, b"Content-Length: 4", body=ASKED),
    "list of lengths": undeclared(PATH, b"Content-Length: %d, %d" % (SIZE, SIZE), body=ASKED),
    "negative length": undeclared(PATH, b"Content-Length: -1", body=ASKED),
    "signed length": undeclared(PATH, b"Content-Length: +%d" % SIZE, body=ASKED),
    "hexadecimal length": undeclared(PATH, b"Content-Length: 0x%x" % SIZE, body=ASKED),
    "huge length": undeclared(PATH, b"Content-Length: 99999999999999999999999", body=ASKED),
    "underscore in length": undeclared(PATH, b"Content-Length: 7_5", body=ASKED),
    "space before colon": undeclared(PATH, b"Content-Length : %d" % SIZE, body=ASKED),
    "folded length": undeclared(PATH, b"Content-Length:\r\n %d" % SIZE, body=ASKED),
    "unknown coding": undeclared(PATH, b"Transfer-Encoding: xchunked", body=chunked(ASKED)),
    "coding after chunks": undeclared(PATH, b"Transfer-Encoding: chunked, identity", body=chunked(ASKED)),
    "chunks twice": undeclared(PATH, TE, TE, body=chunked(ASKED)),
    "two codings": undeclared(PATH, b"Transfer-Encoding: identity", TE, body=chunked(ASKED)),
    "odd space in coding": undeclared(PATH, b"Transfer-Encoding: \x0bchunked", body=chunked(ASKED)),
    "negative chunk": undeclared(PATH, TE, body=b"-1\r\nx\r\n0\r\n\r\n"),
    "0x chunk": undeclared(PATH, TE, body=b"0x4b\r\n" + ASKED + b"\r\n0\r\n\r\n"),
    "huge chunk": undeclared(PATH, TE, body=b"ffffffffffffffffff\r\nx"),
    "chunk with a bare line feed": undeclared(PATH, TE, body=b"%x\n%s\n0\n\n" % (SIZE, ASKED)),
    "endless trailers": undeclared(PATH, TE, body=chunked(ASKED, trailer=b"a: b\r\n" * 100_000)),
    "compressed": request(PATH, b"Content-Encoding: gzip", body=ASKED),
    "compressed in the second place": request(
        PATH, b"Content-Encoding: identity", b"Content-Encoding: gzip", body=ASKED
    ),
    "two slashes": request(b"/" + PATH, body=ASKED),
    "another host as path": request(b"//evil.example" + PATH, body=ASKED),
    "dots": request(b"/x/.." + PATH, body=ASKED),
    "encoded dots": request(b"/anthropic/v1/%2e%2e/v1/messages", body=ASKED),
    "fragment in the path": request(PATH + b"#?beta=true", body=ASKED),
    "encoded NUL": request(PATH + b"%00", body=ASKED),
    "NUL": request(PATH + b"\0", body=ASKED),
    "more path": request(PATH + b"/batches", body=ASKED),
    "raw UTF-8": request(PATH + "é".encode(), body=ASKED),
    "space in path": request(PATH + b" x", body=ASKED),
    "star": request(b"*", body=ASKED),
    "bad port": request(b"http://x:99999999" + PATH, body=ASKED),
    "bad address": request(b"http://[::1" + PATH, body=ASKED),
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "WebSocket": request(PATH, b"Connection: Upgrade", b"Upgrade: websocket", method=b"GET"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "HTTP/9.9": undeclared(PATH, b"Content-Length: 0", version=b"HTTP/9.9"),
    "TLS": b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + b"\0" * 500,
    "any byte": bytes(range(256)) * 10,
    "line feeds only": PLAIN.replace(b"\r\n", b"\n"),
    "carriage returns only": PLAIN.replace(b"\r\n", b"\r"),
    "NUL in a header": request(PATH, b"X-A: a\0b", body=ASKED),
    "bare carriage return in a header": request(PATH, b"X-A: a\rx-api-key: b", body=ASKED),
    "header without a colon": request(PATH, b"garbage", body=ASKED),
    "header without a name": request(PATH, b": v", body=ASKED),
    "ten thousand headers": request(PATH, *(b"X-%d: 1" % n for n in range(10_000)), body=ASKED),
    "header of 1 MB": request(PATH, b"X-A: " + b"a" * 1_000_000, body=ASKED),
    "path of 1 MB": request(b"/" + b"a" * 1_000_000, body=ASKED),
    "method of 100 kB": request(PATH, body=ASKED, method=b"P" * 100_000),
    "no host": request(PATH, body=ASKED, host=b"X-A: a"),
    "two hosts": request(PATH, b"Host: y", body=ASKED),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_an_unusual_http_request_never_reaches_the_provider(bed: Bed, data: bytes) -> None:
    answer = await exchange(bed.inside.socket, data, 1)
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    assert answer or len(data) > 100_000  # cut while it was still sending
    assert KEY.encode() not in answer
    assert (await bed.inside.answer(prompt="The next one."))[0] == 200
    assert [b"The next one." in received.body for received in bed.requests] == [True]


PASSED = {
    "plain": PLAIN,
    "chunks": undeclared(PATH, TE, body=chunked(ASKED)),
    "old protocol": undeclared(PATH, b"Content-Length: %d" % SIZE, version=b"HTTP/1.0", body=ASKED),
    "chunk extension": undeclared(PATH, TE, body=chunked(ASKED, b";key=" + b"x" * 10_000)),
    "trailers": undeclared(PATH, TE, body=chunked(ASKED, trailer=b"x-api-key: mine\r\n")),
    "another host": request(b"http://evil.example" + PATH, body=ASKED),
    "another host and user": request(b"http://u:p@evil.example:81" + PATH, body=ASKED),
    "odd host": request(PATH, body=ASKED, host=b"Host: 169.254.169.254:80@x/\\"),
    "encoded path": request(b"/anthropic%2fv1/%6dessages", body=ASKED),
    "query": request(PATH + b"?beta=true&to=http://evil.example/%0d%0aX-A:%20b", body=ASKED),
    "keys of its own": request(
        PATH, b"x-api-key: " + OTHERS_KEY.encode(), b"Authorization: Bearer " + OTHERS_KEY.encode(), body=ASKED
    ),
    "headers of proxies": request(
        PATH,
        b"Connection: x-api-key, host, content-length",
        b"Proxy-Authorization: Basic x",
        b"X-Forwarded-Host: evil.example",
        b"X-HTTP-Method-Override: DELETE",
        b"Cookie: a=b",
        body=ASKED,
    ),
    "waits to be asked": request(PATH, b"Expect: 100-continue", body=ASKED),
    "wants to be something else": request(PATH, b"Connection: Upgrade", b"Upgrade: h2c", body=ASKED),
    "a thousand empty lines": b"\r\n" * 1000 + PLAIN,
}  # fmt: skip


@pytest.mark.parametrize("data", PASSED.values(), ids=PASSED)
async def test_any_request_goes_to_the_tasks_provider_with_the_tasks_key(bed: Bed, data: bytes) -> None:
    answer = await exchange(bed.inside.socket, data, 1)
    assert statuses(answer) == [200], answer
    assert KEY.encode() not in answer
    [received] = bed.requests
    names = [name.lower() for name, _ in received.headers]
    assert received.path == "/v1/messages"
    assert sorted(names) == [
        "accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "x-api-key",
    ]  # fmt: skip
    headers = {name.lower(): value for name, value in received.headers}
    assert headers["x-api-key"] == KEY
    assert headers["host"].startswith("127.0.0.1:")
    assert OTHERS_KEY not in str(received)
    assert json.loads(received.body) == json.loads(ASKED)


async def test_requests_sent_in_one_go_are_answered_one_by_one_and_each_is_checked(bed: Bed) -> None:
    other = request(PATH, body=json.dumps(body(MESSAGES, model="other")).encode())
    connect = b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"
    upgrade = b"GET " + PATH + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    data = PLAIN * 100 + other + connect + upgrade + PLAIN * 100
    answer = await exchange(bed.inside.socket, data, 203)
    assert statuses(answer) == [200] * 100 + [403, 404, 405] + [200] * 100
    assert len(bed.requests) == 200


HOSTILE_BODIES = {
    "deep": b'{"model":"the-model","messages":[],"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"model":"the-model","messages":[],"metadata":' + b'{"a":' * 100_000,
    "million values": b'{"model":"the-model","messages":[' + b"{}," * 1_000_001 + b"{}]}",
    "key twice": b'{"model":"the-model","messages":[],"messages":[{"role":"user","content":"x"}]}',
    "key twice inside": b'{"model":"the-model","messages":[{"role":"user","role":"system","content":"x"}]}',
    "huge number": b'{"model":"the-model","messages":[],"top_k":' + b"9" * 10_000 + b"}",
    "no number": b'{"model":"the-model","messages":[],"top_k":NaN}',
    "model is a list": b'{"model":["the-model"],"messages":[]}',
    "half a surrogate as model": b'{"model":"\\ud800","messages":[]}',
    "type is a list": b'{"model":"the-model","messages":[{"role":"user","content":[{"type":[]}]}]}',
    "type is an object": b'{"model":"the-model","messages":[{"role":"user","content":[{"type":{}}]}]}',
    "tool's type is an object": b'{"model":"the-model","messages":[],"tools":[{"type":{}}]}',
    "two documents": ASKED + ASKED,
    "not UTF-8": b'{"model":"the-model","messages":[{"role":"user","content":"\xff"}]}',
}


@pytest.mark.parametrize("data", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES)
async def test_a_hostile_body_is_refused_with_a_sentence(bed: Bed, data: bytes) -> None:
    async with bed.inside.http.post(MESSAGES, data=io.BytesIO(data)) as response:
        assert response.status in (400, 403, 413), await response.text()
        assert (await response.json())["error"]["message"]
    assert not bed.requests


async def test_a_fallback_that_is_no_model_is_dropped(bed: Bed) -> None:
    fallbacks = [{"model": []}, {"model": {}}, {"model": "other"}, {"model": "the-weak-model"}]
    assert (await bed.inside.answer(fallbacks=fallbacks))[0] == 200
    assert json.loads(bed.requests[0].body)["fallbacks"] == [{"model": "the-weak-model"}]


async def test_a_thousand_connections_take_little_memory_and_nothing_from_another_task(
    bed: Bed, short_dir: Path
) -> None:
    neighbour_dir = short_dir / "n"
    neighbour_dir.mkdir()

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"type": "message"})

    async with provider_that(handler) as url, gateway_to(url, neighbour_dir) as neighbour:
        assert (await neighbour.answer())[0] == 200
        before = memory_bytes()
        async with flooding(bed.inside.socket, MESSAGES, 1000):
            await until_at_most(bed.inside.socket, 64)
            answers = await asyncio.gather(*(neighbour.answer() for _ in range(10)))
            assert [status for status, _ in answers] == [200] * 10
            assert memory_bytes() - before < MAX_GROWTH_BYTES
        await _until_served(bed.inside)


async def _until_served(inside: Inside) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await inside.answer())[0] == 200:
                    return
            except OSError:  # the server has not yet noticed the closed connections
                await asyncio.sleep(0.05)


async def test_an_unread_response_applies_back_pressure_to_the_provider(short_dir: Path) -> None:
    sent_bytes = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent_bytes
        response = await sse(request)
        while True:
            await response.write(b"data: " + b"x" * 65536 + b"\n\n")
            sent_bytes += 65536

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        before = memory_bytes()
        async with flood(inside.socket, 16, [PLAIN]):
            previous = -1
            while not sent_bytes or sent_bytes != previous:  # until no connection makes progress
                assert memory_bytes() - before < 16 * MAX_UNREAD_BYTES
                previous = sent_bytes
                await asyncio.sleep(0.5)
            assert memory_bytes() - before < 16 * MAX_UNREAD_BYTES


async def test_an_endless_event_is_forwarded_and_not_kept_in_memory(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await sse(request)
        await response.write(b'data: {"usage": "')
        for _ in range(96):
            await response.write(b"x" * MIB)
        return response

    async with provider_that(handler) as url, gateway_to(url, short_dir) as inside:
        before = memory_bytes()
        received = 0
        async with inside.request() as response:
            async for chunk in response.content.iter_any():
                received += len(chunk)
        assert received > 96 * MIB
        assert memory_bytes() - before < MAX_GROWTH_BYTES


JSON = b"Content-Type: application/json\r\n"
SECRET = KEY.encode()
OK = b"HTTP/1.1 200 OK\r\n"


def whole(head: bytes, content: bytes = b"{}") -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


# What the provider sends, the status that the sandbox gets, and what the response must contain.
ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "early hints": (b"HTTP/1.1 103 E\r\nLink: %s\r\n\r\n" % SECRET + whole(OK + JSON), 200, b"{}"),
    "another protocol": (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw", 502, b"status"),
    "redirect": (whole(b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\n"), 502, b"not followed"),
    "not modified": (b"HTTP/1.1 304 N\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 502, b"not followed"),
    "status 0": (whole(b"HTTP/1.1 000 N\r\n" + JSON), 502, b"status"),
    "status 999": (whole(b"HTTP/1.1 999 N\r\n" + JSON), 502, b"status"),
    "key as reason": (whole(b"HTTP/1.1 200 %s\r\n" % SECRET + JSON), 200, b"{}"),
    "key in a header's name": (whole(OK + JSON + b"x-ratelimit-%s: 1\r\n" % SECRET), 200, b"{}"),
    "key in a header": (whole(OK + JSON + b"request-id: a%sb\r\n" % SECRET), 200, b"a[redacted]b"),
    "key in an extension": (
        OK + JSON + TE + b"\r\n\r\n2;x=%s\r\n{}\r\n0\r\n%s: x\r\n\r\n" % (SECRET, SECRET), 200, b"{}",
    ),
    "key in an error": (
        whole(b"HTTP/1.1 401 %s\r\n" % SECRET + JSON, b'{"error":{"message":"Bad %s."}}' % SECRET),
        401, b"Bad [redacted].",
    ),
    "controls in a header": (whole(OK + JSON + b"request-id: \x1b[31m\r\nretry-after: 7\r\n"), 200, b": 7\r\n"),
    "bytes in a header": (whole(OK + JSON + b"request-id: \xff\xfe\r\nretry-after: 7\r\n"), 200, b": 7\r\n"),
    "header of 1 MB": (whole(OK + JSON + b"x-ratelimit-a: %s\r\n" % (b"a" * MIB)), 502, b"reached"),
    "ten thousand headers": (whole(OK + JSON + b"x-ratelimit-a: a\r\n" * 10_000), 502, b"reached"),
    "cookies": (whole(OK + JSON + b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"), 200, b"{}"),
    "length and chunks": (OK + JSON + TE + b"\r\nContent-Length: 3\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 502, b"reached"),
    "compressed": (whole(OK + JSON + b"Content-Encoding: gzip\r\n"), 502, b"encoding"),
    "compressed in the second place": (
        whole(OK + JSON + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"), 502, b"encoding",
    ),
    "compressed chunks": (
        OK + JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 502, b"encoding",
    ),
    "deep usage": (whole(OK + JSON, b'{"usage":' + b'{"cache_creation":' * 50_000 + b"1" + b"}" * 50_001), 200, b"{"),
    "odd usage": (whole(OK + JSON, b'{"usage":{"input_tokens":1e999,"output_tokens":[[]],"a":NaN}}'), 200, b"NaN"),
    "deep error": (whole(b"HTTP/1.1 500 N\r\n" + JSON, b"[" * 60_000), 500, b"[[["),
    "nothing": (b"", 502, b"reached"),
    "half a head": (OK + b"Content-Ty", 502, b"reached"),
    "no HTTP": (b"\x16\x03\x01\0\0hello", 502, b"reached"),
    "no head": (b"{}", 502, b"reached"),
}  # fmt: skip


@asynccontextmanager
async def provider_of_bytes(data: bytes) -> AsyncIterator[str]:
    """A provider that answers each request with these bytes and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("data", "status", "holds"), ANSWERS.values(), ids=ANSWERS)
async def test_no_provider_response_reveals_the_key(
    short_dir: Path, data: bytes, status: int, holds: bytes
) -> None:
    closing = request(PATH, b"Connection: close", body=ASKED)
    async with provider_of_bytes(data) as url, gateway_to(url, short_dir) as inside:
        answer = await exchange(inside.socket, closing, 2)  # all there is
        fault = inside.gateway.last_error
    assert statuses(answer) == [status], answer[:1000]
    assert holds in answer
    assert SECRET.lower() not in answer.lower()
    assert not any(name in answer.lower() for name in (b"set-cookie", b"location", b"link", b"\x1b"))
    assert (status == 200) == (fault is None)
    assert KEY not in str(fault)


async def test_an_endless_error_body_is_cut(short_dir: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async with (
        provider_that(handler) as url,
        gateway_to(url, short_dir) as inside,
        inside.request() as response,
    ):
        assert response.status == 500
        assert len(await response.read()) <= 64 * 1024
        assert inside.gateway.last_error == ProviderError(
            500, "Anthropic answered with status 500.", is_transient=True
        )


async def test_each_socket_serves_only_its_own_task(short_dir: Path) -> None:
    keys: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        keys.append((request.headers.get("x-api-key"), request.headers.get("authorization")))
        return web.json_response({"type": "message"})

    folder, other_folder = short_dir / "a", short_dir / "b"
    folder.mkdir()
    other_folder.mkdir()
    async with (
        provider_that(handler) as url,
        gateway_to(url, folder) as inside,
        gateway_to(url, other_folder, "openai", OTHERS_KEY),
    ):
        named = b"http://unix%3A" + str(other_folder / "gateway.sock").replace("/", "%2F").encode()
        for path, status in ((named + b"/openai/v1/responses", 403), (named + PATH, 200)):
            answer = await exchange(inside.socket, request(path, body=ASKED), 1)
            assert statuses(answer) == [status]
    assert keys == [(KEY, None)]
