"""A bounded part of a child's output is kept, and the rest is read so that the child does not block."""

import asyncio

from agentcontainer.child_output import Tail, keep_start, read_start


def stream(content: bytes, *, is_ended: bool = True) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    if is_ended:
        reader.feed_eof()
    return reader


async def test_the_start_is_kept_and_the_rest_read() -> None:
    reader = stream(b"abcdef" * 100_000)
    assert await keep_start(reader, 8) == b"abcdefab"
    assert reader.at_eof()
    assert await keep_start(stream(b"abc"), 8) == b"abc"


async def test_the_start_comes_without_the_end_of_the_stream() -> None:
    assert await asyncio.wait_for(read_start(stream(b"abcdef", is_ended=False), 4), 1) == b"abcd"
    assert await read_start(stream(b"abc"), 4) == b"abc"


async def test_the_tail_is_there_while_the_stream_goes_on() -> None:
    reader, tail = stream(b"abcdef", is_ended=False), Tail(4)
    reading = asyncio.create_task(tail.read(reader))
    await asyncio.sleep(0)
    assert tail.text == "cdef"
    reader.feed_data(b"\xff")
    reader.feed_eof()
    await reading
    assert tail.text == "def\ufffd"
