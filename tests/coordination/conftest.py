"""A bed on a fresh database for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.coordination.bed import Bed, opened


@pytest.fixture
async def bed(database_url: str, short_dir: Path) -> AsyncIterator[Bed]:
    async with opened(database_url, short_dir) as bed:
        yield bed
