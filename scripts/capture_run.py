"""Prints what a terminal shows of `agentcontainer run`: while the agent answers, and at the end.

Needs a profile of an installation with the offline model: `agentcontainer up --offline-model`.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.client.terminal import Screen, terminal

COLUMNS = 88
STEPS = [
    {"say": "I look at the file first.", "bash": "head task_files/sales.csv"},
    {
        "say": "The file has two regions. South sells 4, north sells 3, so south leads by a third. "
        "I write that down, with the numbers behind it, and deliver it as report.md.",
        "bash": "echo 'South leads: 4 of 7.' > report.md; sleep 1",
        "slow": 0.15,
    },
    {"bash": "finish --complete-task --message 'South sells best, with 4 of 7.' report.md"},
]
PROMPT = f"Which region sells best?\n\n```script\n{json.dumps(STEPS)}\n```\n"


def main() -> None:
    """Run a task and print both screens."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("sales.csv").write_text("region,revenue\nnorth,3\nsouth,4\n")
        arguments = ["run", PROMPT, "sales.csv", "-o", "out", "--title", "Which region sells best?"]
        with terminal(dict(os.environ) | {"TERM": "xterm"}, *arguments, columns=COLUMNS) as screen:
            screen.until(b"with the numbers behind")
            print(Screen(screen.output, COLUMNS).text)
            screen.end()
            print("\n" + "-" * COLUMNS + "\n")
            print(Screen(screen.output, COLUMNS).text)


if __name__ == "__main__":
    main()
