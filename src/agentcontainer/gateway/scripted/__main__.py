"""`python -m agentcontainer.gateway.scripted [--host H] [--port N]`: runs the scripted model alone."""

import argparse
import asyncio
import os
import signal
import socket

from agentcontainer.gateway.scripted.confined import confine
from agentcontainer.gateway.scripted.server import ScriptedModel, serve


async def _run(host: str, port: int) -> None:
    async with await serve(host, port) as model:
        print(model.url, flush=True)
        await _until_stopped()


async def _run_confined(descriptor: int, uid: int | None, parent: int) -> None:
    """Serve on an inherited socket, for the runner that is this process's parent."""
    async with ScriptedModel(is_recording=False) as model:
        await model.start_on(socket.socket(fileno=descriptor))
        confine(uid, parent)
        await _until_stopped()


async def _until_stopped() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def main() -> None:
    parent = os.getppid()
    parser = argparse.ArgumentParser(
        prog="agentcontainer.gateway.scripted",
        description="Run the offline scripted model and print its URL.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--descriptor", type=int, help=argparse.SUPPRESS)  # of a listening socket
    parser.add_argument("--uid", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.descriptor is None:
        asyncio.run(_run(arguments.host, arguments.port))
    else:
        asyncio.run(_run_confined(arguments.descriptor, arguments.uid, parent))


if __name__ == "__main__":
    main()
