"""One sandbox with internet access, from the command line: `python -m tests.sandbox_run FOLDER '["*.test"]' ARGV…`,
with `null` for everything public. Prints JSON: the payload's output, and the refused hosts. For tests that need it on
another host, or as another user, than they run on themselves."""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentcontainer.sandbox.contract import Internet, RefusedHost
from tests.contract.sandbox_bed import Bed


async def main(folder: Path, allow: list[str] | None, argv: list[str]) -> dict[str, Any]:
    """Run the sandbox to its end."""
    refused: list[RefusedHost] = []
    bed = Bed(folder)
    internet = Internet(None if allow is None else tuple(allow), refused.append)
    began = time.monotonic()
    outcome = await bed.run(*argv, spec=bed.spec(internet=internet))
    seconds = time.monotonic() - began
    return {
        "code": outcome.code,
        "out": outcome.out,
        "err": outcome.err,
        "refused": [asdict(refusal) for refusal in refused],
        "seconds": seconds,
    }


if __name__ == "__main__":
    arguments = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    print(json.dumps(asyncio.run(main(*arguments))))
