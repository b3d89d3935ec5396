"""The Python blocks of the README and of the guide run as they stand, and the README's recording is what is shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.bed import Client, Platform

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page.stem, number, block)
    for page in (ROOT / "README.md", ROOT / "docs/guides/python.md", ROOT / "client/README.md")
    for number, block in enumerate(BLOCK.findall(page.read_text()))
]
CASES = [pytest.param(*case, marks=[pytest.mark.long] if case[1] else []) for case in BLOCKS]


# The first block of each page in every run, the others in the long one.
@pytest.mark.parametrize(
    ("page", "number", "block"), CASES, ids=[f"{page}-{number}" for page, number, _ in BLOCKS]
)
def test_a_block_runs(
    client_platform: Platform, account: Client, tmp_path: Path, page: str, number: int, block: str
) -> None:
    (tmp_path / "sales.csv").write_text("region,revenue\nnorth,3\nsouth,4\n")
    environment = os.environ | {
        "AGENTCONTAINER_URL": client_platform.base_url,
        "AGENTCONTAINER_API_KEY": account.api_key,
    }
    done = subprocess.run(
        [sys.executable, "-c", block],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert "async def" in block or done.stdout


RECORDING = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# In a recording, numbers differ from run to run, and … stands for any text.
VARIES = re.compile(r"…|[0-9]+(?:\.[0-9]+)?")


def pattern(line: str) -> str:
    """A regular expression for a line of a recording."""
    parts = VARIES.split(line)
    marks = [".*" if mark == "…" else r"[0-9]+(?:\.[0-9]+)?" for mark in VARIES.findall(line)]
    return re.escape(parts[0]) + "".join(
        mark + re.escape(part) for mark, part in zip(marks, parts[1:], strict=True)
    )


def test_the_recording_in_the_readme_is_what_the_command_shows(
    client_platform: Platform, account: Client, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("region,revenue\nnorth,3\nsouth,4\n")
    environment = os.environ | {
        "AGENTCONTAINER_URL": client_platform.base_url, "AGENTCONTAINER_API_KEY": account.api_key,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path),
    }  # fmt: skip
    [recording] = RECORDING.findall((ROOT / "README.md").read_text())
    command, *recorded = recording.splitlines()
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ")],
        env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    shown = done.stdout.splitlines()
    assert len(shown) == len(recorded), done.stdout
    for line, expected in zip(shown, recorded, strict=True):
        assert re.fullmatch(pattern(expected.lstrip()), line.lstrip()), (line, expected)
