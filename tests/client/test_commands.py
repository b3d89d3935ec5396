"""The commands for users, in real processes against a running platform: in pipes, and on a terminal."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from agentcontainer_client import AgentContainer
from tests.acceptance.bed import Client, Platform, finish, script, waiting
from tests.client.terminal import COMMAND, terminal

DATA = "agt_standard_data"


@pytest.fixture
def environment(client_platform: Platform, account: Client, tmp_path: Path) -> dict[str, str]:
    """That of a user who has logged in by environment variables, and has no profile."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {
        "AGENTCONTAINER_URL": client_platform.base_url,
        "AGENTCONTAINER_API_KEY": account.api_key,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TERM": "xterm",
    }


def call(
    environment: dict[str, str], *arguments: str, stdin: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, timeout=90, cwd=cwd, **source
    )  # type: ignore[call-overload]


def test_stdout_is_the_result_and_nothing_else(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")
    steps = script(
        {"bash": "cat task_files/a.txt task_files/stdin.txt > both.txt"},
        finish("both.txt", message="Ünïcode & done."),
    )
    done = call(environment, "run", steps, "a.txt", "-a", DATA, "-o", "out", stdin=b"piped", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Ünïcode & done.".encode()
    assert (tmp_path / "out/both.txt").read_text() == "contentpiped"
    stderr = done.stderr.decode()
    assert "saved out/both.txt" in stderr
    assert "\x1b" not in stderr
    assert "finished (complete)" in stderr


def test_json_and_events_are_for_programs(environment: dict[str, str]) -> None:
    done = call(environment, "run", script(finish()), "-a", DATA, "--json=id,status", "-q")
    picked = json.loads(done.stdout)
    assert picked.keys() == {"id", "status"}
    assert picked["status"] == "finished"
    assert done.stderr == b""
    done = call(environment, "run", script(finish()), "-a", DATA, "--events")
    *events, task = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], task["status"]) == ("task.finished", "finished")


def test_faults_of_use_and_of_access_have_their_codes(
    environment: dict[str, str], client_platform: Platform
) -> None:
    assert call(environment, "run").returncode == 2
    assert call(environment, "run", "x", "missing.csv").returncode == 2
    assert call(environment, "rm", "file_1").returncode == 2  # nobody can answer the question
    unknown = call(environment, "show", "tsk_doesnotexist")
    assert (unknown.returncode, unknown.stderr) == (1, b"error: There is no task tsk_doesnotexist.\n")
    wrong = call(environment | {"AGENTCONTAINER_API_KEY": "ac_live_wrong0123456789"}, "list")
    assert wrong.returncode == 4
    assert b"req_" in wrong.stderr
    without = {name: value for name, value in environment.items() if name != "AGENTCONTAINER_API_KEY"}
    assert call(without, "list").returncode == 4
    poor = client_platform.account("0", provider_keys=False)
    assert call(environment | {"AGENTCONTAINER_API_KEY": poor.api_key}, "run", "x").returncode == 7


def test_a_task_is_found_by_its_beginning_and_as_the_last(
    environment: dict[str, str], tmp_path: Path
) -> None:
    started = call(
        environment,
        "run",
        script({"bash": "echo hi > a.txt; exit 3"}, finish("a.txt")),
        "-a",
        DATA,
        "-d",
        "--title",
        "Find me",
    )
    task_id = started.stdout.decode().strip()
    assert re.fullmatch(r"tsk_\w{20,}", task_id)
    assert call(environment, "wait", "@last").stdout == b"Done as asked."
    assert json.loads(call(environment, "show", task_id[:-2], "--json=id").stdout) == {"id": task_id}
    assert b"Find me" in call(environment, "list", "-n", "1").stdout
    assert b"bash failed" in call(environment, "logs", "@last", "--errors").stdout
    assert (
        json.loads(call(environment, "logs", task_id, "--raw", "--tail", "1").stdout)["type"]
        == "task.finished"
    )
    assert call(environment, "download", task_id, "a.txt", "--stdout").stdout == b"hi\n"
    assert call(environment, "download", task_id, "-o", "got", cwd=tmp_path).returncode == 0
    assert (tmp_path / "got/a.txt").read_text() == "hi\n"


def test_a_rerun_has_the_files_and_settings_of_the_first_run(
    environment: dict[str, str], client: AgentContainer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("content")
    steps = script({"bash": "cat task_files/a.txt task_files/stdin.txt > both.txt"}, finish("both.txt"))
    options = ["-a", DATA, "--metadata", "case=7", "--budget", "3", "-d"]
    first = call(environment, "run", steps, "a.txt", *options, stdin=b"piped", cwd=tmp_path)
    before = client.tasks.get(first.stdout.decode().strip())
    done = call(environment, "rerun", before.id, "-o", "out", "--json=id", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/both.txt").read_text() == "contentpiped"
    again = client.tasks.get(json.loads(done.stdout)["id"])
    assert (again.metadata, again.overrides) == ({"case": "7"}, before.overrides)
    assert again.input_file_ids == before.input_file_ids
    assert call(environment, "rerun", before.id, "-o", "/proc/none").returncode == 1
    newest = client.tasks.list(limit=1).first()
    assert newest is not None
    assert newest.id == again.id, "nothing was dispatched for a folder that cannot be made"


def test_a_profile_is_stored_and_used(
    environment: dict[str, str], account: Client, client_platform: Platform, tmp_path: Path
) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("AGENTCONTAINER_")}
    login = call(
        bare, "login", "--with-key", "--url", client_platform.base_url, stdin=f"{account.api_key}\n".encode()
    )
    assert login.returncode == 0, login.stderr
    config = tmp_path / "config/agentcontainer/config.toml"
    assert config.stat().st_mode & 0o777 == 0o600
    assert account.api_key not in (login.stdout + login.stderr).decode()
    assert call(bare, "whoami").returncode == 0
    debug = call(bare, "--debug", "whoami").stderr.decode()
    assert "GET /api/v1/account: 200" in debug
    assert account.api_key not in debug
    assert call(bare, "logout").returncode == 0
    assert call(bare, "whoami").returncode == 4


@pytest.fixture
def browser(environment: dict[str, str], tmp_path: Path) -> Path:
    """A browser, which writes the URL that it is called with into this file."""
    program, opened = tmp_path / "browser", tmp_path / "opened"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    program.chmod(0o755)
    environment["BROWSER"] = str(program)
    return opened


def shown_by(opened: Path) -> str:
    """The URL that the browser was called with."""
    deadline = time.monotonic() + 20
    while not opened.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return opened.read_text()


def log_in(base_url: str, code: str) -> int:
    """What the page of a login link does; the status of the answer."""
    page = {"Sec-Fetch-Site": "same-origin"}
    body = {"code": code, "isConfirmed": True}
    url = f"{base_url}/session"
    return httpx2.post(url, json=body, headers=page, trust_env=False, verify=False).status_code


def test_open_and_show_log_the_browser_in_without_a_code_in_its_arguments(
    environment: dict[str, str], browser: Path, client: AgentContainer, tmp_path: Path
) -> None:
    task = client.tasks.create("x", agent=DATA)
    assert task.url == f"{client.base_url}/tasks/{task.id}"
    task.cancel()
    for arguments, page in [
        (["open"], "/login#"),
        (["open", task.id], f"/login?to=/tasks/{task.id}#"),
        (["show", "--web", task.id], f"/login?to=/tasks/{task.id}#"),
    ]:
        browser.unlink(missing_ok=True)
        with terminal(environment, *arguments, columns=200) as screen:
            assert screen.end() == 0, screen.output
        [link] = [line for line in screen.output.decode().split() if line.startswith("http")]
        assert link.startswith(f"{client.base_url}{page}")
        code = link.partition("#")[2]
        argument = shown_by(browser)
        assert code not in argument
        file = Path(urlsplit(argument).path)
        assert file == tmp_path / "config/agentcontainer/open.html"
        assert file.stat().st_mode & 0o777 == 0o600
        assert f'url={link}"' in file.read_text()
        assert (log_in(client.base_url, code), log_in(client.base_url, code)) == (204, 401)
    browser.unlink()
    piped = call(environment, "open")
    assert log_in(client.base_url, piped.stdout.decode().strip().partition("#")[2]) == 204
    assert not browser.exists(), "without a terminal, nothing is opened"


def begun(client: AgentContainer, *steps: dict[str, str]) -> str:
    """A conversation after its first turn, whose agent takes these steps next."""
    chat = client.conversations.create(script({"say": "Ready."}, *steps), agent="agt_standard_coding")
    chat.reply(timeout=60)
    return chat.id


def test_a_person_in_a_browser_lets_a_terminal_log_in(
    environment: dict[str, str], client_platform: Platform, client: AgentContainer, tmp_path: Path
) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("AGENTCONTAINER_")}
    bare |= {"BROWSER": "true"}
    refused = call(bare, "login", "--url", client_platform.base_url)
    assert refused.returncode == 2, "nobody could compare the phrase"
    for is_approved, code in ((False, 4), (True, 0)):
        with terminal(bare, "login", "--url", client_platform.base_url) as screen:
            shown = screen.until(rb"/cli/approve\?login=clg_\w+\r").decode()
            found = re.search(r"clg_\w+", shown)
            assert found is not None
            login = client.cli_logins.get(found[0])
            assert f"the phrase {login.phrase}:" in shown
            client.cli_logins.decide(login.id, is_approved=is_approved)
            assert screen.end() == code
        assert b"ac_live_" not in screen.output
    assert call(bare, "whoami").returncode == 0
    assert (tmp_path / "config/agentcontainer/config.toml").stat().st_mode & 0o777 == 0o600


def test_a_conversation_can_be_piped(environment: dict[str, str], client: AgentContainer) -> None:
    task_id = begun(client, {"say": "Roses are red."})
    done = call(environment, "chat", "--resume", task_id, stdin=b"/help\nGo on.\n/end\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"Roses are red.\n"
    assert b"/model NAME" in done.stderr
    assert client.tasks.get(task_id).status == "finished"


def test_a_task_is_cancelled_at_ctrl_c_and_ends_with_the_code_for_it(
    environment: dict[str, str], client: AgentContainer
) -> None:
    with terminal(environment, "run", script(waiting()), "-a", DATA, "--title", "Cancel me") as screen:
        screen.until(b"bash")
        screen.send(b"\x03")
        screen.until(rb"Task goes on\.")
        time.sleep(0.2)
        screen.send(b"c\r")
        assert screen.end() == 6
    task = client.tasks.list(q="Cancel me", limit=1).first()
    assert task is not None
    assert task.status == "cancelled"


@pytest.mark.long
def test_watching_goes_on_after_ctrl_c(environment: dict[str, str]) -> None:
    steps = script({"bash": "echo one; sleep 4"}, finish())
    with terminal(environment, "run", steps, "-a", DATA) as screen:
        screen.until(b"bash")
        screen.send(b"\x03")
        screen.until(rb"Task goes on\.")
        time.sleep(0.2)
        screen.send(b"w\r")
        assert screen.end() == 0
    assert screen.output.count(b"task created") == 1


def test_ctrl_c_in_a_chat_stops_the_turn_and_leaves_at_the_prompt(
    environment: dict[str, str], client: AgentContainer
) -> None:
    task_id = begun(client, {"bash": "echo begun; sleep 60"}, {"say": "Never."})
    with terminal(environment, "chat", task_id) as screen:
        screen.until(b"> ")
        screen.send(b"Go on.\r")
        screen.until(b"begun; sleep 60")
        screen.send(b"\x03")
        screen.until(rb"The user stopped the turn.*> $")
        screen.send(b"\x03")
        assert screen.end() == 0
        assert f"agentcontainer chat --resume {task_id}".encode() in screen.output
    client.conversations.get(task_id).end()


def test_text_of_several_lines_can_be_pasted_into_a_chat(
    environment: dict[str, str], client: AgentContainer
) -> None:
    task_id = begun(client, {"say": "First look."}, {"say": "Roses are red."})
    with terminal(environment, "chat", task_id) as screen:
        screen.until(b"> ")
        screen.send(b"/file nowhere.txt\r")
        screen.until(rb"error: nowhere.txt is not a file\..*> ")
        screen.send(b"\x1b[200~Two lines,\rof text.\x1b[201~")
        time.sleep(0.3)
        screen.send(b"\r")
        screen.until(rb"First look\.\r\n.*> $")
        screen.send(b"/quit\r")
        assert screen.end() == 0
    assert screen.output.count(b"First look.\r\n") == 1, "the reply is shown once"
    chat = client.conversations.get(task_id)
    assert [message.content for message in chat.messages()][2] == "Two lines,\nof text."
    chat.end()
