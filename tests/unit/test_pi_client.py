"""The RPC client against a peer that answers late, out of order, wrongly or not at all, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from agentcontainer.runner.agent.pi import Pi
from agentcontainer.runner.agent.pi_events import (
    CommandFailed,
    PiEndedError,
    PiEvent,
    PiProtocolError,
    PiRefusedError,
    Settled,
    TextDelta,
    TurnStarted,
)


@dataclass(frozen=True)
class Peer:
    """The other end: what Pi would read and write."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def command(self) -> dict[str, Any]:
        return json.loads(await self.reader.readline())

    def send(self, **fields: Any) -> None:
        self.writer.write(json.dumps(fields).encode() + b"\n")

    def answer(self, command: dict[str, Any], success: bool = True, **fields: Any) -> None:
        self.send(id=command["id"], type="response", command=command["type"], success=success, **fields)

    def write(self, text: str) -> None:
        self.send(type="message_update", assistantMessageEvent={"type": "text_delta", "delta": text})


@pytest.fixture
async def sockets() -> AsyncIterator[tuple[Peer, Peer]]:
    own_end, pi_end = socket.socketpair()
    here = Peer(*await asyncio.open_connection(sock=own_end))
    there = Peer(*await asyncio.open_connection(sock=pi_end, limit=2**20))
    yield here, there
    for end in (here, there):
        end.writer.close()


@pytest.fixture
def pi_and_peer(sockets: tuple[Peer, Peer]) -> tuple[Pi, Peer]:
    here, there = sockets
    return Pi(here.writer, here.reader), there


async def test_a_prompt_is_sent_and_its_events_follow(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    prompting = asyncio.create_task(pi.prompt("Say \u2028 hello\nthere"))
    command = await peer.command()
    assert (command["type"], command["message"]) == ("prompt", "Say \u2028 hello\nthere")
    peer.send(type="turn_start")  # events may come before the answer
    peer.answer(command, data={"disposition": "started"})
    await prompting
    peer.write("hello")
    peer.send(type="agent_settled", aborted=False)
    peer.writer.close()
    assert [event async for event in pi.events()] == [TurnStarted(), TextDelta("hello"), Settled()]


async def test_a_refusal_carries_the_reason(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    prompting = asyncio.create_task(pi.prompt("again"))
    peer.answer(await peer.command(), success=False, error="Agent is running")
    with pytest.raises(PiRefusedError, match="Agent is running"):
        await prompting


async def test_a_prompt_that_started_no_run_is_refused(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    prompting = asyncio.create_task(pi.prompt("/command"))
    peer.answer(await peer.command(), data={"disposition": "handled"})
    with pytest.raises(PiRefusedError):
        await prompting


async def test_deltas_have_the_same_separators_as_the_whole_message(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    for block, text in ((1, "one"), (1, " more"), (3, "two")):
        update = {"type": "text_delta", "contentIndex": block, "delta": text}
        peer.send(type="message_update", assistantMessageEvent=update)
    peer.send(type="turn_start")
    peer.write("next")
    peer.writer.close()
    assert [event async for event in pi.events()] == [
        TextDelta("one", 1),
        TextDelta(" more", 1),
        TextDelta("\n\ntwo", 3),
        TurnStarted(),
        TextDelta("next"),
    ]


async def test_responses_are_matched_to_commands_in_any_order(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    events: list[PiEvent] = []

    async def read() -> None:
        async for event in pi.events():
            events.append(event)

    reading = asyncio.create_task(read())
    first, second = asyncio.create_task(pi.steer("one")), asyncio.create_task(pi.steer("two"))
    commands = [await peer.command(), await peer.command()]
    peer.send(id="c99", type="response", command="steer", success=True)  # an answer without a command
    peer.answer(commands[1], success=False, error="no")
    peer.write("between")
    peer.answer(commands[0])
    await first
    with pytest.raises(PiRefusedError, match="no"):
        await second
    peer.send(type="response", command="parse", success=False, error="Failed to parse command")
    peer.writer.close()
    await reading
    assert events == [TextDelta("between"), CommandFailed("parse", "Failed to parse command")]


async def test_a_command_can_be_sent_while_iterating_over_events(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer

    async def answer_later() -> None:
        command = await peer.command()
        for number in range(100):
            peer.write(str(number))
        peer.answer(command)
        peer.writer.close()

    answering = asyncio.create_task(answer_later())
    peer.send(type="agent_settled")
    texts: list[str] = []
    async for event in pi.events():
        if isinstance(event, Settled):
            await pi.prompt("go on")
        elif isinstance(event, TextDelta):
            texts.append(event.text)
    await answering
    assert texts == [str(number) for number in range(100)]


async def test_when_pi_exits_the_events_end_and_commands_fail(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    prompting = asyncio.create_task(pi.prompt("hello"))
    await peer.command()
    peer.writer.write(b'{"type":"turn_start"}\n{"type":"agent_settled"')  # torn
    peer.writer.close()
    with pytest.raises(PiEndedError):
        await prompting
    assert [event async for event in pi.events()] == [TurnStarted()]
    with pytest.raises(PiEndedError):
        await pi.steer("anyone there?")


async def test_bytes_between_frames_are_counted_and_skipped(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    peer.writer.write(b"\n\r\nnot json\n[1]\n\xff\xff\n" + b"{" * 5000 + b"\n")
    peer.write("still here")
    peer.writer.close()
    assert [event async for event in pi.events()] == [TextDelta("still here")]
    assert pi.malformed_frames == 5


async def test_too_many_events_while_a_command_waits_are_an_error(pi_and_peer: tuple[Pi, Peer]) -> None:
    pi, peer = pi_and_peer
    prompting = asyncio.create_task(pi.prompt("hello"))
    await peer.command()

    async def flood() -> None:
        while True:
            peer.write("x" * 1024**2)
            await peer.writer.drain()

    flooding = asyncio.create_task(flood())
    with pytest.raises(PiProtocolError, match="before it answered"):
        await prompting
    flooding.cancel()


async def test_a_command_without_a_response_times_out(sockets: tuple[Peer, Peer]) -> None:
    here, peer = sockets
    pi = Pi(here.writer, here.reader, command_seconds=0.2)
    peer.send(type="turn_start")
    with pytest.raises(PiProtocolError, match="did not answer `prompt`"):
        await pi.prompt("hello")
    peer.writer.close()
    assert [event async for event in pi.events()] == [TurnStarted()]
