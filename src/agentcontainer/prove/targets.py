"""Targets outside the sandbox that a payload tries to reach: files, processes and servers of one trial."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

from agentcontainer.prove.attempt import PrepareTarget
from agentcontainer.prove.trial import Trial

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def nonce_only(trial: Trial) -> Sequence[str]:
    """No target. The payload gets the nonce and prints it on success."""
    return [trial.nonce]


async def nothing(trial: Trial) -> Sequence[str]:  # noqa: ARG001 - the signature of PrepareTarget
    """No target and no arguments."""
    return []


async def secret_file(trial: Trial) -> Sequence[str]:
    """A world-readable file of the host that contains the nonce. The payload gets its path."""
    path = trial.outside / "secret"
    path.write_text(trial.nonce)
    return [str(path)]


def reachable(inside: str, bare: str) -> PrepareTarget:
    """The payload gets the nonce and a path: `inside` in the sandbox, `bare` below the trial's folder on the host."""

    async def prepare(trial: Trial) -> Sequence[str]:
        return [trial.nonce, trial.path(inside, trial.root / bare)]

    return prepare


async def process(trial: Trial) -> Sequence[str]:
    """A process of the host with the nonce in its command line and environment. The payload gets its pid."""
    child = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--", "perl", "-e", '$| = 1; print "\n"; sleep 60', trial.nonce),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "SECRET": trial.nonce},
        start_new_session=True,
    )

    async def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()

    trial.stack.push_async_callback(end)
    assert child.stdout is not None
    await child.stdout.readline()
    trial.notes["pid"] = child.pid
    return [str(child.pid)]


def is_dead(trial: Trial, output: str) -> bool:  # noqa: ARG001 - the signature of Judge
    """Whether the target process has ended."""
    try:
        return _state_of(trial.notes["pid"]) in "ZX"
    except OSError:
        return True


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def named_process(trial: Trial) -> Sequence[str]:
    """As `process`, but the payload gets no arguments."""
    await process(trial)
    return []


def tcp(address: Callable[[], str]) -> PrepareTarget:
    """A server of the host that sends the nonce to every client. The payload gets its address and port."""

    async def prepare(trial: Trial) -> Sequence[str]:
        host = address()
        return [host, str(await serve_nonce(trial, host))]

    return prepare


async def serve_nonce(trial: Trial, host: str) -> int:
    """Serve the nonce at `host` until the trial ends; returns the port."""
    server = await asyncio.start_server(_nonce_server(trial), host, 0)
    trial.stack.callback(server.close)
    return int(server.sockets[0].getsockname()[1])


async def udp(trial: Trial) -> Sequence[str]:
    """A server of the host that answers every datagram with the nonce. The payload gets its address and port."""

    class Answer(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
            self._transport.sendto(trial.nonce.encode(), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Answer, local_addr=("127.0.0.1", 0))
    trial.stack.callback(transport.close)
    return ["127.0.0.1", str(transport.get_extra_info("sockname")[1])]


async def abstract_socket(trial: Trial) -> Sequence[str]:
    """A server on an abstract Unix socket, as used by desktops and daemons. The payload gets its name."""
    name = f"agentcontainer-prove-{secrets.token_hex(8)}"
    server = await asyncio.start_unix_server(_nonce_server(trial), f"\0{name}")
    trial.stack.callback(server.close)
    return [name]


async def socket_file(trial: Trial) -> Sequence[str]:
    """A server on a world-accessible Unix socket, like another task's gateway or a container engine."""
    path = trial.outside / "gateway.sock"
    await listen(trial, path, _nonce_server(trial))
    return [str(path)]


async def listen(trial: Trial, path: Path, serve: Serve) -> None:
    """Serve on a socket file until the trial ends. The path may be longer than the kernel's limit for sockets."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    trial.stack.callback(os.close, folder)
    server = await asyncio.start_unix_server(serve, f"/proc/self/fd/{folder}/{path.name}")
    trial.stack.callback(server.close)
    path.chmod(0o666)


def _nonce_server(trial: Trial) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(trial.nonce.encode())
            await writer.drain()
        writer.close()

    return serve


def loopback() -> str:
    """The host's IPv4 loopback address."""
    return "127.0.0.1"


def loopback_6() -> str:
    """The host's IPv6 loopback address."""
    return "::1"


def own_address() -> str:
    """An address at which other machines reach this host; a loopback address if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])
