"""Validates a JSON document against its schema, in a process of its own.

Started as `python -I -m agentcontainer.runner.workspace.json_check`.

A schema of a few lines can take for ever, and the validator lets nothing else run in its process meanwhile. So the
process has a few seconds of CPU and some memory, and ends by them also when its runner has died.
"""

import asyncio
import contextlib
import json
import resource
import signal
import sys
from typing import Any

from agentcontainer import json_syntax
from agentcontainer.domain.tasks.output_policy import json_faults

CPU_SECONDS = 4
WALL_SECONDS = 120  # of a machine that has no time for it
MEMORY_BYTES = 2 * 1024**3


class TooCostly(Exception):
    """The check needs more time or memory than it may have."""


async def faults(schema: dict[str, Any] | bool, text: bytes) -> list[str] | None:
    """Where the document breaks its schema, the first few; None: it is not JSON.

    Raises:
        TooCostly: nobody can tell within the bounds.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "agentcontainer.runner.workspace.json_check"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    try:
        async with asyncio.timeout(WALL_SECONDS):
            said, _ = await process.communicate(json.dumps(schema).encode() + b"\n" + text)
    except TimeoutError:
        raise TooCostly from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0:
        raise TooCostly
    return json.loads(said)


def main() -> None:
    """Reads a line with the schema, then the document; writes what `faults` returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner's, which ends us itself
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    schema = json.loads(sys.stdin.buffer.readline())
    try:
        document = json_syntax.loads(sys.stdin.buffer.read(), is_strict=False)
    except ValueError:
        told = None
    else:
        told = json_faults(schema, document)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
