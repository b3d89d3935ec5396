"""Makes a service slow for every host: its packets take a detour through a relay that passes them on late.

For kernels without `tc netem`, which delays packets itself.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager

from .host import Host
from .network import Network

REDIRECT = """add table ip slow
add chain ip slow detour {{ type nat hook output priority -100; }}
add rule ip slow detour ip daddr {server} tcp dport {port} dnat to {relay}:{port}"""


@contextmanager
def slow_link(
    network: Network, relay: Host, server: Host, port: int, clients: Iterable[Host], seconds: float
) -> Generator[None]:
    """During the block, each byte between `clients` and the server arrives so much later, in each direction.

    Open connections are closed, so that the next ones take the detour. The relay runs in a thread of this process, on
    the network of `relay`.
    """
    with _relaying(network, lambda: _serve(relay.address, server.address, port, seconds)):
        for host in clients:
            network.nft_on(host, REDIRECT.format(server=server.address, port=port, relay=relay.address))
            host.run("ss", "-K", "dst", server.address)
        try:
            yield
        finally:
            for host in clients:
                network.nft_on(host, "delete table ip slow")
                host.run("ss", "-K", "dst", server.address)


@contextmanager
def _relaying(network: Network, start: Callable[[], Awaitable[asyncio.Server]]) -> Generator[None]:
    loop = asyncio.new_event_loop()

    def run() -> None:
        with network.entered():
            loop.run_until_complete(main())

    async def main() -> None:
        nonlocal ending
        ending = asyncio.Event()
        server = await start()
        is_serving.set()
        await ending.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets

    is_serving = threading.Event()
    ending: asyncio.Event | None = None
    thread = threading.Thread(target=run)
    thread.start()
    assert is_serving.wait(10)
    try:
        yield
    finally:
        assert ending is not None
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


async def _serve(address: str, server: str, port: int, seconds: float) -> asyncio.Server:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # asyncio logs a connection whose task is cancelled.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.sleep(2 * seconds)  # the handshake
                far_reader, far_writer = await asyncio.open_connection(server, port)
                try:
                    await asyncio.gather(
                        _pump(reader, far_writer, seconds), _pump(far_reader, writer, seconds),
                        return_exceptions=True,
                    )  # fmt: skip
                finally:
                    far_writer.transport.abort()
        finally:
            writer.transport.abort()

    return await asyncio.start_server(connect, address, port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def send() -> None:
        while True:
            due_at, chunk = await queue.get()
            await asyncio.sleep(due_at - loop.time())
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    chunk = b"first"
    while chunk:
        try:
            chunk = await reader.read(65536)
        except OSError:
            chunk = b""
        queue.put_nowait((loop.time() + seconds, chunk))
    await asyncio.gather(sending, return_exceptions=True)
