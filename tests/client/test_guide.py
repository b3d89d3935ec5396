"""The Python blocks of the README and of the guide run as they stand."""

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
