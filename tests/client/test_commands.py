"""The commands for users, in real processes against a running platform: in pipes, and on a terminal."""

import asyncio
import json
import os
import re
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from agentcontainer_client import AgentContainer, AsyncAgentContainer
from tests.acceptance.bed import Client, Platform, finish, script, waiting
from tests.client.terminal import COMMAND, terminal
from tests.webhook_receiver import receiver

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


def lines(environment: dict[str, str], *arguments: str) -> list[str]:
    """What a command that succeeds prints."""
    done = call(environment, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


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


def test_files_keys_and_agents_are_managed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    file_id = call(environment, "upload", "a.txt", cwd=tmp_path).stdout.decode().strip()
    assert file_id in call(environment, "files").stdout.decode()
    assert call(environment, "rm", file_id, "--yes").returncode == 0
    key = call(environment, "keys", "create", "CI").stdout.decode().strip()
    assert call(environment | {"AGENTCONTAINER_API_KEY": key}, "whoami").returncode == 0
    stored = call(environment, "provider-keys", "set", "openai", stdin=b"sk-test-0123456789\n")
    assert stored.returncode == 0, stored.stderr
    assert b"openai\t\xe2\x80\xa66789" in call(environment, "provider-keys").stdout
    assert call(environment, "provider-keys", "delete", "openai").returncode == 2, "nobody can be asked"
    assert call(environment, "provider-keys", "delete", "openai", "--yes").returncode == 0
    agent_id = (
        call(environment, "agents", "create", f"From the shell {os.getpid()}", "--prompt", "Be brief.")
        .stdout.decode()
        .strip()
    )
    exported = call(environment, "agents", "export", agent_id).stdout
    path = tmp_path / "agent.yaml"
    path.write_bytes(exported.replace(b"Be brief.", b"Be long."))
    applied = call(environment, "agents", "apply", "agent.yaml", "--yes", cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    assert b"nothing to change" in call(environment, "agents", "apply", "agent.yaml", cwd=tmp_path).stderr
    assert b'- "Be brief."' in call(environment, "agents", "diff", agent_id, "1").stdout
    assert call(environment, "agents", "activate", agent_id, "9").stderr.endswith(b"has no version 9.\n")
    before = call(environment, "agents").stdout
    path.write_text("name: New\ndefaults: {maxRuntimeSeconds: never}\n")
    assert call(environment, "agents", "apply", "agent.yaml", cwd=tmp_path).returncode == 1
    assert call(environment, "agents").stdout == before, "no agent is made of a file that is refused"
    status = call(environment, "api", "GET", "/tasks", "-F", "limit=1")
    assert json.loads(status.stdout)["data"]


def test_what_happened_to_an_account_is_listed(
    environment: dict[str, str], client_platform: Platform, account: Client
) -> None:
    [credit] = [
        line.split("\t") for line in lines(environment, "ledger", "-n", "1000") if "\tcredit\t" in line
    ]
    assert float(credit[2]) == float(credit[3]) > 0
    link = lines(environment, "sessions", "link")[0]
    code = link.partition("#")[2]
    url = f"{client_platform.base_url}/session"
    headers = {"User-Agent": "Browser/1.0", "Sec-Fetch-Site": "same-origin"}
    with httpx2.Client(trust_env=False, headers=headers) as browser:
        assert browser.post(url, json={"code": code, "isConfirmed": True}).status_code == 204
    [session] = [line.split("\t") for line in lines(environment, "sessions")]
    assert (session[1], session[4]) == ("member", "Browser/1.0")
    assert lines(environment, "audit", "-n", "1")[0].split("\t")[2:4] == ["session.created", session[0]]
    assert call(environment, "sessions", "end", session[0]).returncode == 0
    assert lines(environment, "sessions") == []
    assert json.loads(call(environment, "audit", "-n", "1", "--json=action").stdout) == [
        {"action": "session.ended"}
    ]


async def test_events_are_relayed_to_a_server_on_this_machine(
    environment: dict[str, str], async_client: AsyncAgentContainer
) -> None:
    async with receiver() as server:
        arguments = ["webhooks", "listen", "--forward", server.url, "--event", "task.finished"]
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            secret = (await process.stdout.readline()).decode().strip()
            assert b"forwarding to" in await process.stderr.readline()
            task = await async_client.tasks.create(script(finish()), agent=DATA)
            [received] = await server.until(1, 60)
        finally:
            process.terminate()
            await process.wait()
    event = async_client.webhooks.unwrap(received.body, received.headers, secret)
    assert (event.type, event.data.task_id) == ("task.finished", task.id)


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


def begun(client: AgentContainer, *steps: dict[str, str]) -> str:
    """A conversation after its first turn, whose agent takes these steps next."""
    chat = client.conversations.create(script({"say": "Ready."}, *steps), agent="agt_standard_coding")
    chat.reply(timeout=60)
    return chat.id


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
