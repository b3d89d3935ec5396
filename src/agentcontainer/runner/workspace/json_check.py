"""Validates a JSON document against its schema, in a process of its own.

Started as `python -I -m agentcontainer.runner.workspace.json_check`.

A short schema can take unbounded time, and the validator blocks its whole process meanwhile. So the process
has limits of CPU time and memory, which end it even if its runner has died.
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
WALL_SECONDS = 120  # on a busy machine
MEMORY_BYTES = 2 * 1024**3


class NotJson(Exception):
    """The document is not JSON. The message says why, as the end of a sentence."""


class TooCostly(Exception):
    """The check exceeded its limit of time or memory."""


async def faults(schema: dict[str, Any] | bool, text: bytes) -> list[str]:
    """The first few places where the document does not match the schema.

    Raises:
        NotJson: it is not JSON. TooCostly: a limit was exceeded.
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
            answer, _ = await process.communicate(json.dumps(schema).encode() + b"\n" + text)
    except TimeoutError:
        raise TooCostly from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0:
        raise TooCostly
    result: list[str] | str = json.loads(answer)
    if isinstance(result, str):
        raise NotJson(result)
    return result


def main() -> None:
    """Read a line with the schema, then the document; write the faults, or a string that says why it is not JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner, which ends this process itself
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    schema = json.loads(sys.stdin.buffer.readline())
    try:
        document = json_syntax.loads(sys.stdin.buffer.read(), is_strict=False)
    except ValueError as error:
        answer = str(error)
    else:
        answer = json_faults(schema, document)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
