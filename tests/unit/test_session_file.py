"""A restored workspace has the agent's session, or the agent is told that it is gone."""

import json
import os
from pathlib import Path

import pytest

from agentcontainer.runner.workspace import session_file

HEADER = json.dumps({"type": "session", "id": "tsk_1", "version": 3})
ENTRY = json.dumps({"type": "message"})


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    folder = tmp_path / ".pi/sessions"
    folder.mkdir(parents=True)
    return folder


def test_a_session_with_an_entry_exists(tmp_path: Path, sessions: Path) -> None:
    (sessions / "2026_tsk_1.jsonl").write_text(f"{HEADER}\n{ENTRY}\n")
    assert session_file.exists(tmp_path, "tsk_1")
    assert not session_file.exists(tmp_path, "tsk_2")


@pytest.mark.parametrize("content", ["", HEADER, f"{HEADER}\n", f"garbage\n{ENTRY}\n", "[" * 70_000, "5\n{"])
def test_a_damaged_one_does_not(tmp_path: Path, sessions: Path, content: str) -> None:
    (sessions / "2026_tsk_1.jsonl").write_text(content)
    assert not session_file.exists(tmp_path, "tsk_1")


def test_a_link_folder_or_fifo_does_not_count_as_a_session_file(tmp_path: Path, sessions: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(f"{HEADER}\n{ENTRY}\n")
    (sessions / "link.jsonl").symlink_to(outside)
    (sessions / "folder.jsonl").mkdir()
    os.mkfifo(sessions / "pipe.jsonl")
    assert not session_file.exists(tmp_path, "tsk_1")


def test_a_damaged_session_is_set_aside(tmp_path: Path, sessions: Path) -> None:
    (sessions / "2026_tsk_1.jsonl").write_text("garbage")
    session_file.set_aside(tmp_path)
    [aside] = (tmp_path / ".pi").iterdir()
    assert aside.name.startswith("sessions-damaged-")
    session_file.set_aside(tmp_path)


def test_a_workspace_without_sessions_has_none(tmp_path: Path) -> None:
    assert not session_file.exists(tmp_path, "tsk_1")
    (tmp_path / ".pi").symlink_to("/")
    assert not session_file.exists(tmp_path, "tsk_1")
    session_file.set_aside(tmp_path)
