"""Finding the files an ended task wrote: bounded, and safe against a hostile workspace."""

import os
from pathlib import Path

import pytest

from agentcontainer.runner.workspace import partial_outputs
from agentcontainer.runner.workspace.partial_outputs import own_files


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("the host's")
    (tmp_path / "task").mkdir()
    return tmp_path / "task"


def test_partial_outputs_are_the_agents_visible_files_newest_first(home: Path) -> None:
    for age, name in enumerate(
        ("new.md", "deep/er/old.md", "TASK.md", "task_files/in.csv", "a/TASK.md", ".x/y", ".z")
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
        os.utime(home / name, (0, 1_000_000 - age))
    (home / "bad\n").touch()
    (home / os.fsdecode(b"bad\xff")).touch()
    assert own_files(home) == ["new.md", "deep/er/old.md", "a/TASK.md"]


def test_links_are_not_followed(home: Path) -> None:
    (home / "up").symlink_to("../outside")
    assert own_files(home) == ["up"]
    home.rename(home.parent / "away")
    home.symlink_to("outside")
    assert own_files(home) == []


def test_a_bounded_number_of_files_is_examined(home: Path) -> None:
    (home / "folder").mkdir()
    for number in range(500):
        (home / f"folder/{number}").touch()
    assert len(own_files(home, max_entries=101)) == 100
    assert len(own_files(home)) == 500


def test_a_bounded_depth_of_folders_is_examined(home: Path) -> None:
    folder = os.open(home, os.O_RDONLY)
    for depth in range(partial_outputs.MAX_DEPTH + 50):
        os.close(os.open(f"at-{depth}", os.O_CREAT, dir_fd=folder))
        os.mkdir("x" * 200, dir_fd=folder)
        inner = os.open("x" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    files = own_files(home)
    assert "at-0" in files
    assert 10 < len(files) <= partial_outputs.MAX_DEPTH + 1
