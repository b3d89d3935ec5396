"""`python -m agentcontainer.gateway.scripted [--host H] [--port N]`: runs the scripted model alone."""

import argparse
import asyncio
import signal

from agentcontainer.gateway.scripted.server import serve


async def _run(host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await serve(host, port) as model:
        print(model.url, flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="agentcontainer.gateway.scripted",
        description="Run the offline scripted model and print its URL.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
