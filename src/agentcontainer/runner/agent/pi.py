"""The connection to a running Pi: sends it commands on its stdin, and reads answers and events from its stdout."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator
from typing import Literal

from agentcontainer.runner.agent.pi_events import (
    CommandFailed,
    MessageCompleted,
    PiEndedError,
    PiEvent,
    PiProtocolError,
    PiRefusedError,
    Response,
    TextDelta,
    TurnStarted,
)
from agentcontainer.runner.agent.pi_frames import parse
from agentcontainer.runner.agent.pi_framing import FrameSplitter

INTERRUPT_COMMAND = "agentcontainer-interrupt"  # of our extension; Pi runs it at once, also during a run
CHUNK_BYTES = 64 * 1024
MAX_PENDING_BYTES = 64 * 1024**2  # of events that arrive while a command waits for its answer


class Pi:
    """A running Pi.

    There is no background task: `events` and the commands read from Pi while they wait. Commands may be sent from
    within a loop over `events`, or concurrently with it.
    """

    def __init__(
        self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, command_seconds: float = 60
    ) -> None:
        self.malformed_frames = 0
        self._command_seconds = command_seconds
        self._stdin = stdin
        self._stdout = stdout
        self._splitter = FrameSplitter()
        self._pending: deque[tuple[PiEvent, int]] = deque()
        self._pending_bytes = 0
        self._answers: dict[str, asyncio.Future[Response]] = {}
        self._ids = itertools.count(1)
        self._last_block: int | None = None
        """The index of the content block of the last delta, in the message that is being written."""
        self._reading = asyncio.Lock()
        self._is_ended = False

    async def prompt(self, text: str) -> None:
        """Start a run. Pi must be settled; it reports `Settled` when the run is over.

        Raises:
            PiRefusedError: Pi is in a run, or does not take the text as a prompt.
            PiEndedError, PiProtocolError
        """
        answer = await self._command("prompt", message=text)
        if answer.disposition == "handled":  # no run begins, so no `Settled` would follow
            raise PiRefusedError("Pi did not start a run for this prompt")

    async def steer(self, text: str) -> None:
        """Send a message, which Pi gives to the model with its next request; if Pi is settled, after the next prompt.

        Raises:
            PiRefusedError, PiEndedError, PiProtocolError
        """
        await self._command("steer", message=text)

    async def abort(self) -> None:
        """End the present run, if there is one: its model request and its tools. Pi then reports `Settled`.

        Raises:
            PiRefusedError, PiEndedError, PiProtocolError
        """
        await self._command("abort")

    async def end_commands(self, reason: Literal["message", "time"]) -> None:
        """End the commands that the agent is running; their results tell it the reason.

        Raises:
            PiRefusedError, PiEndedError, PiProtocolError
        """
        await self._command("prompt", message=f"/{INTERRUPT_COMMAND} {reason}")

    async def events(self) -> AsyncGenerator[PiEvent]:
        """All events in order, until Pi's stdout ends. Iterate over one such generator at a time.

        Raises:
            PiProtocolError: Pi's output breaks the protocol, or a limit.
        """
        while True:
            while self._pending:
                event, size = self._pending.popleft()
                self._pending_bytes -= size
                yield event
            if self._is_ended:
                return
            async with self._reading:
                if not self._pending and not self._is_ended:
                    await self._read()

    async def _command(self, command: str, **fields: str) -> Response:
        id_ = f"c{next(self._ids)}"
        frame = {"id": id_, "type": command} | fields
        self._answers[id_] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._command_seconds):
                await self._write(json.dumps(frame).encode() + b"\n")
                answer = await self._answer(self._answers[id_])
        except TimeoutError:
            raise PiProtocolError(
                f"Pi did not answer `{command}` in {self._command_seconds} seconds"
            ) from None
        finally:
            del self._answers[id_]
        if not answer.is_success:
            raise PiRefusedError(answer.error or f"Pi refused `{command}` without a reason")
        return answer

    async def _write(self, data: bytes) -> None:
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except (ConnectionError, RuntimeError):  # uvloop raises RuntimeError for a closed transport
            raise PiEndedError("Pi has exited") from None

    async def _answer(self, answer: asyncio.Future[Response]) -> Response:
        while not answer.done():
            async with self._reading:
                if answer.done():
                    break
                if self._is_ended:
                    raise PiEndedError("Pi has exited")
                await self._read()
        return answer.result()

    async def _read(self) -> None:
        """Read what Pi sends next. The caller holds `_reading`."""
        data = await self._stdout.read(CHUNK_BYTES)
        if not data:
            self._is_ended = True
        for frame in self._splitter.feed(data):
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        try:
            event = parse(frame)
        except ValueError:
            self.malformed_frames += 1
            return
        if isinstance(event, Response):
            waiting = self._answers.get(event.id)
            if waiting is not None:
                if not waiting.done():
                    waiting.set_result(event)
                return
            event = None if event.is_success else CommandFailed(event.command, event.error)
        if event is not None:
            self._pending.append((self._separated(event), len(frame)))
            self._pending_bytes += len(frame)
            if self._pending_bytes > MAX_PENDING_BYTES:
                raise PiProtocolError(
                    f"Pi sent more than {MAX_PENDING_BYTES} bytes of events before it answered"
                )

    def _separated(self, event: PiEvent) -> PiEvent:
        """The event; a delta that begins another content block of its message starts with a blank line."""
        if isinstance(event, TextDelta):
            is_new_block = self._last_block is not None and self._last_block != event.block
            self._last_block = event.block
            return TextDelta(f"\n\n{event.text}", event.block) if is_new_block else event
        if isinstance(event, TurnStarted | MessageCompleted):
            self._last_block = None
        return event
