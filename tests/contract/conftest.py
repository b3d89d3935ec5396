"""The `bed` of the sandbox tests, which fails a test that leaves anything behind."""

import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.sandbox.cleanup import clean_up, leftovers
from tests.contract.sandbox_bed import Bed


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    folder = Path(tempfile.mkdtemp(prefix="ac-bed-", dir="/tmp"))
    new_bed = Bed(folder)
    yield new_bed
    for sandbox in new_bed.started:
        await sandbox.destroy()
    remaining = set(leftovers()) & set(new_bed.ids)
    await clean_up(remaining)
    subprocess.run(["rm", "-rf", "--", str(folder)], check=True)  # shutil fails on deep trees
    assert not remaining
