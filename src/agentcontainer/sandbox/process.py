"""A child process with plain pipes as asyncio streams, held by a pidfd."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

STREAM_LIMIT_BYTES = 16 * 1024**2  # a reader buffers twice this before it stops reading the pipe


class Process:
    """A started child. `stdin`, `stdout`, `stderr` are its streams; `exit_code` is set once it has ended."""

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
        """Starts `argv` with nothing of ours but `env` and `pass_fds`; `owner` may open its pipes anew.

        The child is spawned on the event loop's own thread: a parent-death signal is bound to its thread.
        """
        theirs, ours = _pipes(owner)
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - see above
                argv,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=env,
                pass_fds=pass_fds,
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for us to judge
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        stdin = await _writer(ours[0])
        stdout, out = await _reader(ours[1])
        stderr, err = await _reader(ours[2])
        return cls(child, stdin, stdout, stderr, (out, err))

    @property
    def pid(self) -> int:
        """Its process id; nobody else's for as long as it lives."""
        return self._child.pid

    async def wait(self) -> int:
        """The exit code, 128 + N if signal N ended it."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """Lets go of the pipes. What a reader holds already can still be read, and then its end."""
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
    """The child's ends and ours, in the order of its descriptors 0, 1, 2."""
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
    theirs = [stdin[0], stdout[1], stderr[1]]
    if owner is not None:  # or `echo > /dev/stderr` fails in the child: it opens the pipe by its permissions
        for descriptor in theirs:
            os.fchown(descriptor, owner, owner)
    return theirs, [stdin[1], stdout[0], stderr[0]]


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
