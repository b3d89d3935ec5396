"""A child process with its pipes as asyncio streams, and a pidfd to kill and wait for it."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

STREAM_LIMIT_BYTES = 16 * 1024**2  # a reader buffers twice this before it stops reading the pipe


class Process:
    """A started child; `stdin`, `stdout` and `stderr` are its streams."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
        readers: Sequence[asyncio.BaseTransport],
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._readers = readers
        self._child = child
        self._pidfd: int | None = os.pidfd_open(child.pid)
        self._ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int], owner: int | None
    ) -> "Process":
        """Start `argv`. It inherits `env` and `pass_fds` only. The uid `owner` may open its pipes again.

        The child is spawned on the event loop's thread, because its parent-death signal comes when that
        thread ends.
        """
        child_ends, own_ends = _pipes(owner)
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - see above
                argv,
                stdin=child_ends[0],
                stdout=child_ends[1],
                stderr=child_ends[2],
                env=env,
                pass_fds=pass_fds,
                cwd="/",
                start_new_session=True,  # so that Ctrl-C in a terminal signals us only
            )
        except BaseException:
            for descriptor in own_ends:
                os.close(descriptor)
            raise
        finally:
            for descriptor in child_ends:
                os.close(descriptor)
        stdin = await _writer(own_ends[0])
        stdout, out = await _reader(own_ends[1])
        stderr, err = await _reader(own_ends[2])
        return cls(child, stdin, stdout, stderr, (out, err))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    async def wait(self) -> int:
        """Wait for the end; returns the exit code, 128 + N if signal N ended it."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """Close the pipes. What the readers have buffered can still be read, and then the end of the stream."""
        if not self.stdin.transport.is_closing():
            self.stdin.transport.abort()
        for transport in self._readers:
            transport.close()
        with contextlib.suppress(OSError):
            await self.stdin.wait_closed()

    def _reap(self) -> None:
        assert self._pidfd is not None
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = None
        code = self._child.wait()
        self._ended.set_result(128 - code if code < 0 else code)


def _pipes(owner: int | None) -> tuple[list[int], list[int]]:
    """The child's ends of its pipes and ours, in the order of descriptors 0, 1, 2."""
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
    child_ends = [stdin[0], stdout[1], stderr[1]]
    if owner is not None:  # `echo > /dev/stderr` in the child opens the pipe anew, which checks its owner
        for descriptor in child_ends:
            os.fchown(descriptor, owner, owner)
    return child_ends, [stdin[1], stdout[0], stderr[0]]


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=STREAM_LIMIT_BYTES)
    pipe = open(descriptor, "rb", buffering=0)  # noqa: ASYNC230, SIM115 - the transport closes it
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    return reader, transport


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = open(descriptor, "wb", buffering=0)  # noqa: ASYNC230, SIM115 - the transport closes it
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)
