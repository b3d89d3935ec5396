"""The parts of the client that need no server: names of files, sources, differences, events, progress."""

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentcontainer_client import ConfigurationError, _profiles, events, models
from agentcontainer_client._config import Profile
from agentcontainer_client._diff import Difference, differences
from agentcontainer_client._events import decode
from agentcontainer_client._follow import Progress
from agentcontainer_client._sources import Reading, source, stored_id
from agentcontainer_client._targets import distinct, safe_name, target_of
from agentcontainer_client._wire import Malformed


@pytest.mark.parametrize(
    ("name", "posix", "windows"),
    [
        ("report.md", "report.md", "report.md"),
        ("../../etc/passwd", ".._.._etc_passwd", ".._.._etc_passwd"),
        ("a\\b", "a_b", "a_b"),
        ("..", "file", "file"),
        ("", "file", "file"),
        ("nul.txt", "nul.txt", "_nul.txt"),
        ("a:b?.txt", "a:b?.txt", "a_b_.txt"),
        ("dots. . ", "dots. . ", "dots"),
        ("gpj\u202eexe", "gpj_exe", "gpj_exe"),
        ("a\x1b[31m", "a_[31m", "a_[31m"),
    ],
)
def test_names_of_downloads_are_names(name: str, posix: str, windows: str) -> None:
    assert safe_name(name, is_windows=False) == posix
    assert safe_name(name, is_windows=True) == windows


def test_long_names_keep_their_suffix() -> None:
    name = safe_name("ü" * 300 + ".csv")
    assert len(name.encode()) <= 200
    assert name.endswith(".csv")


def test_equal_names_are_told_apart() -> None:
    assert distinct(["a.txt", "A.txt", "a.txt", "b"]) == ["a.txt", "A (2).txt", "a (3).txt", "b"]


def test_a_folder_gets_the_file_under_its_name(tmp_path: Path) -> None:
    assert target_of(tmp_path, "a/b.txt") == tmp_path / "a_b.txt"
    assert target_of(f"{tmp_path}/new/", "b.txt") == tmp_path / "new/b.txt"
    assert target_of(tmp_path / "c.txt", "b.txt") == tmp_path / "c.txt"


def test_all_kinds_of_sources_are_read_again_from_their_start(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(b"a,b\n" * 100_000)
    opened = io.BytesIO(b"skipped" + path.read_bytes())
    opened.seek(7)
    for kind in (
        path,
        str(path),
        ("sales.csv", path.read_bytes()),
        opened,
        ("sales.csv", Unseekable(path.read_bytes())),
    ):
        made = source(kind)
        for _ in range(2):
            progress: list[tuple[int, int]] = []
            reading = Reading(made, lambda *numbers, progress=progress: progress.append(numbers))
            assert b"".join(reading) == path.read_bytes()
            assert reading.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            assert progress[-1] == (400_000, 400_000)
        made.close()
    assert source(path).content_type == "text/csv"
    assert not opened.closed


class Unseekable:
    """As a pipe is."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(size)

    def seekable(self) -> bool:
        return False


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        source(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="not a file"):
        source(tmp_path)
    with pytest.raises(ConfigurationError, match="binary"):
        source(("a", io.StringIO("text")))  # type: ignore[arg-type]
    assert stored_id("file_0123") == "file_0123"
    assert stored_id("file_0123.txt") is None


def test_differences_name_fields_by_their_paths() -> None:
    before = {
        "id": "agv_1",
        "number": 1,
        "basePrompt": "a",
        "defaults": {"model": "m", "outputPolicy": {"mode": "any"}},
    }
    after = {
        "id": "agv_2",
        "number": 2,
        "basePrompt": "a",
        "defaults": {"model": "n", "outputPolicy": {"mode": "any"}},
    }
    assert differences(before, after) == [Difference("defaults.model", "m", "n")]


def test_an_event_of_an_unknown_type_survives() -> None:
    raw = {
        "id": "evt_1", "sequence": 7, "type": "dream.dreamt", "taskId": "tsk_1",
        "createdAt": "2026-03-26T14:00:00.000Z",
        "data": {"depth": 3}, "mood": "calm",
    }  # fmt: skip
    event = decode(raw)
    assert isinstance(event, events.Unknown)
    assert (event.sequence, event.type, event.data["depth"]) == (7, "dream.dreamt", 3)
    assert event.to_wire() == raw


def test_events_have_the_fields_of_their_data() -> None:
    envelope = {"id": "evt_1", "sequence": 7, "taskId": "tsk_1", "createdAt": "2026-03-26T14:00:00.000Z"}
    tool = {
        "activityId": "act_1",
        "callId": "c",
        "tool": "bash",
        "input": {"command": "ls"},
        "inputOmittedReason": None,
    }
    match decode(envelope | {"type": "tool.started", "data": tool | {"new": 1}}):
        case events.ToolStarted(tool="bash", input=given, sequence=7, extra={"new": 1}):
            assert given == {"command": "ls"}
        case other:
            pytest.fail(repr(other))
    delta = decode({"type": "message.delta", "taskId": "tsk_1", "data": {"content": "No"}})
    assert isinstance(delta, events.MessageDelta)
    assert (delta.content, delta.sequence) == ("No", 0)
    with pytest.raises(Malformed):
        decode([1])


def test_an_entry_is_accepted_once() -> None:
    progress = Progress(0)
    assert [number for number in (1, 2, 2, 1, 3) if progress.accepts(number)] == [1, 2, 3]


def test_models_are_values_that_do_not_show_secrets() -> None:
    content = {"id": "key_1", "name": "CI", "key": "ac_live_secret", "createdAt": "2026-03-26T14:00:00.000Z"}
    first, second = models.NewApiKey.from_wire(content), models.NewApiKey.from_wire(content)
    assert first == second
    assert len({first, second}) == 1
    assert first != models.NewApiKey.from_wire(content | {"name": "Other"})
    assert "secret" not in repr(first)
    assert "name='CI'" in repr(first)
    with pytest.raises(AttributeError):
        first.name = "changed"  # type: ignore[misc]


def test_profiles_that_are_stored_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "agentcontainer/config.toml"
    profiles = [Profile(name=f"p{number}", url="http://a.test", api_key="k") for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda profile: _profiles.store(profile, file=file), profiles))
    assert {profile.name for profile in _profiles.names(file)} == {profile.name for profile in profiles}
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda profile: _profiles.remove(profile.name, file), profiles))
    assert _profiles.names(file) == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_process_that_was_killed_while_it_stored_a_profile_blocks_no_other(tmp_path: Path) -> None:
    (tmp_path / ".config.lock").touch()
    os.utime(tmp_path / ".config.lock", (1, 1))
    _profiles.store(Profile(name="p", url="http://a.test", api_key="k"), file=tmp_path / "config.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]
