"""The profile that `up` stores: when it is written, kept and replaced, and whose it is."""

import json
import os
import pwd
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentcontainer.cli import local_profile
from agentcontainer_client._config import Profile
from tests.threaded_server import serving

GOOD, OTHER = "ac_live_0123456789good", "ac_live_0123456789other"


class Api(BaseHTTPRequestHandler):
    """Answers for an account to whoever has a good key."""

    def do_GET(self) -> None:
        is_good = self.headers["Authorization"] in (f"Bearer {GOOD}", f"Bearer {OTHER}")
        account = {"id": "acc_1", "name": "first", "createdAt": "2026-03-26T14:00:00.000Z"}
        error = {"error": {"code": "unauthorized", "message": "Unknown key.", "requestId": "req_1"}}
        body = json.dumps(account if is_good else error).encode()
        self.send_response(200 if is_good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """Two installations."""
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Api)) as first,
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Api)) as second,
    ):
        yield [f"http://{first}", f"http://{second}"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path / "agentcontainer/config.toml"


async def other_key() -> str:
    return OTHER


async def no_key() -> str:
    raise AssertionError("the key that is there is valid")


async def test_the_first_start_stores_its_key_and_the_next_ones_keep_it(
    urls: list[str], config: Path
) -> None:
    assert await local_profile.write(urls[0], GOOD, no_key) == "local"
    stored = tomllib.loads(config.read_text())
    assert stored == {"current": "local", "profiles": {"local": {"url": urls[0], "api_key": GOOD}}}
    assert config.stat().st_mode & 0o777 == 0o600
    assert await local_profile.write(urls[0], None, no_key) == "local"
    assert tomllib.loads(config.read_text()) == stored


async def test_a_key_that_opens_nothing_any_more_is_replaced(urls: list[str], config: Path) -> None:
    await local_profile.write(urls[0], "ac_live_0123456789revoked", no_key)
    assert await local_profile.write(urls[0], None, other_key) == "local"
    assert tomllib.loads(config.read_text())["profiles"]["local"]["api_key"] == OTHER


async def test_a_second_installation_gets_a_profile_of_its_own(urls: list[str], config: Path) -> None:
    await local_profile.write(urls[0], GOOD, no_key)
    name = await local_profile.write(urls[1], None, other_key)
    assert name == f"local-{urls[1].rpartition(':')[2]}"
    stored = tomllib.loads(config.read_text())
    assert stored["current"] == "local"
    assert stored["profiles"][name] == {"url": urls[1], "api_key": OTHER}


async def test_the_users_own_choice_and_other_profiles_stay(urls: list[str], config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text(
        f'current = "work"\n[profiles.work]\nurl = "https://work.test"\napi_key = "{GOOD}"\nagent = "agt_1"\n'
    )
    await local_profile.write(urls[0], GOOD, no_key)
    stored = tomllib.loads(config.read_text())
    assert stored["current"] == "work"
    assert stored["profiles"]["work"] == {"url": "https://work.test", "api_key": GOOD, "agent": "agt_1"}


async def test_a_file_that_cannot_be_used_stops_nothing(urls: list[str], config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("not = [toml")
    assert await local_profile.write(urls[0], GOOD, no_key) is None
    assert config.read_text() == "not = [toml"


def test_folders_that_are_made_under_sudo_belong_to_the_user(tmp_path: Path) -> None:
    ids = (54321, 54321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    file = tmp_path / ".config/agentcontainer/config.toml"
    local_profile.store(
        Profile(name="local", url="http://127.0.0.1:9", api_key=GOOD), file, ids, is_current=True
    )
    for path in (file, file.parent, file.parent.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == ids
    assert tmp_path.stat().st_uid == os.geteuid()


def test_under_sudo_the_file_is_that_of_the_user_who_called_it(config: Path) -> None:
    assert local_profile.owner({}, 0) == (config, None)
    assert local_profile.owner({"SUDO_UID": "0"}, 1000) == (config, None)
    for uid in ("4294967294", "65534", "no number"):  # users without a home folder
        assert local_profile.owner({"SUDO_UID": uid}, 0) is None
    root = pwd.getpwuid(0)
    own = (Path(root.pw_dir, ".config/agentcontainer/config.toml"), (0, root.pw_gid))
    assert local_profile.owner({"SUDO_UID": "0"}, 0) == own
