"""What a folder holds is measured without following its links, and a failure is not mistaken for an empty folder."""

import subprocess
from pathlib import Path

import pytest

from agentcontainer import du


async def test_lengths_and_entries_are_summed_and_links_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    before = await du.apparent_bytes(tmp_path)
    (tmp_path / "folder" / "sparse").touch()
    with (tmp_path / "folder" / "sparse").open("r+b") as file:
        file.truncate(10_000_000)
    (tmp_path / "link").symlink_to("/usr")
    assert 10_000_000 <= await du.apparent_bytes(tmp_path) - before < 10_010_000
    assert await du.entries(tmp_path) == 4


async def test_a_folder_that_is_not_there_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no number for missing"):
        await du.entries(tmp_path / "missing")


def test_the_shell_command_prints_the_number_alone(tmp_path: Path) -> None:
    def run(path: Path) -> str:
        script = f'set -eu; number=$({du.shell("--inodes", str(path))}); echo "<$number>"'
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert run(tmp_path) == "<1>\n"
    assert run(tmp_path / "missing") == "<>\n"
