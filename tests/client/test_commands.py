"""The commands for users, in real processes against a running platform: in pipes, and on a terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcontainer_client import AgentContainer
from tests.acceptance.bed import Client, Platform, finish, script, waiting

COMMAND = [sys.executable, "-m", "agentcontainer_client.cli"]
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


@pytest.mark.parametrize(
    ("steps", "options", "code"),
    [
        ([finish()], [], 0),
        ([finish(complete=False)], [], 5),
        ([waiting()], ["--max-runtime", "2s"], 3),
        ([waiting()], ["--timeout", "1"], 124),
    ],
    ids=["complete", "incomplete", "failed", "timed out"],
)
def test_the_exit_code_says_how_it_ended(
    environment: dict[str, str],
    client: AgentContainer,
    steps: list[dict[str, str]],
    options: list[str],
    code: int,
) -> None:
    done = call(environment, "run", script(*steps), "-a", DATA, "--title", f"code {code}", *options)
    assert done.returncode == code, done.stderr
    if code == 124:
        newest = client.tasks.list(q=f"code {code}", limit=1).first()
        assert newest is not None
        assert not newest.has_ended
        cancelled = call(environment, "cancel", newest.id)
        assert cancelled.returncode == 0, cancelled.stderr
        assert call(environment, "wait", newest.id).returncode == 6


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
    again = call(environment, "rerun", task_id)
    assert again.stdout == b"Done as asked.", again.stderr


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
    assert call(environment, "provider-keys", "delete", "openai").returncode == 0
    agent_id = (
        call(environment, "agents", "create", f"From the shell {os.getpid()}", "--prompt", "Be brief.")
        .stdout.decode()
        .strip()
    )
    exported = call(environment, "agents", "export", agent_id).stdout
    path = tmp_path / "agent.json"
    path.write_bytes(exported.replace(b"Be brief.", b"Be long."))
    applied = call(environment, "agents", "apply", "agent.json", "--yes", cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    assert b"nothing to change" in call(environment, "agents", "apply", "agent.json", cwd=tmp_path).stderr
    assert b'- "Be brief."' in call(environment, "agents", "diff", agent_id, "1").stdout
    status = call(environment, "api", "GET", "/tasks", "-F", "limit=1")
    assert json.loads(status.stdout)["data"]


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


def test_a_signal_detaches_or_cancels(environment: dict[str, str], client: AgentContainer) -> None:
    for options, code, status in (([], 130, "running"), (["--cancel-on-exit"], 6, "cancelled")):
        title = f"signal {code}"
        process = subprocess.Popen(
            [*COMMAND, "run", script(waiting()), "-a", DATA, "--title", title, *options],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        while b"bash" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == code, stderr
        task = client.tasks.list(q=title, limit=1).first()
        assert task is not None
        assert task.status == status
        if status == "running":
            assert f"agentcontainer logs -f {task.id}".encode() in stderr
            task.cancel()


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str, columns: int = 80) -> None:
        self.output = b""
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it
            os.environ.clear()
            os.environ.update(environment | {"COLUMNS": str(columns), "LINES": "24"})
            os.execv(COMMAND[0], [*COMMAND, *arguments])

    def until(self, text: bytes, seconds: float = 60) -> bytes:
        """Read until this has been written, a regular expression."""
        deadline = time.monotonic() + seconds
        while not re.search(text, self.output, re.DOTALL):
            assert time.monotonic() < deadline, self.output[-3000:]
            self._read(0.2)
        return self.output

    def send(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def end(self, seconds: float = 60) -> int:
        """Read to the end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.2)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._read(0.1)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(self.output[-3000:])

    def close(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._descriptor)

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if ready:
            try:
                self.output += os.read(self._descriptor, 65536)
            except OSError:
                time.sleep(0.05)


@contextmanager
def terminal(environment: dict[str, str], *arguments: str, columns: int = 80) -> Iterator[Terminal]:
    opened = Terminal(environment, *arguments, columns=columns)
    try:
        yield opened
    finally:
        opened.close()


def test_the_live_view_leaves_plain_lines_and_the_result(environment: dict[str, str]) -> None:
    with terminal(environment, "run", script({"say": "Hello."}, finish()), "-a", DATA) as screen:
        assert screen.end() == 0
        text = screen.output.decode()
    assert "agent: Hello." in text
    assert "\x1b[" in text  # colours, and the region that is drawn again
    assert text.rstrip().endswith("Done as asked.")


def test_no_color_and_narrow_terminals_are_respected(environment: dict[str, str]) -> None:
    steps = script({"bash": f"echo {'x' * 300}"}, finish())
    with terminal(environment | {"NO_COLOR": "1"}, "run", steps, "-a", DATA, columns=40) as screen:
        assert screen.end() == 0
        text = screen.output.decode()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][;m]", text)
    assert all(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) <= 60 for line in re.split(r"[\r\n]", text))


@pytest.mark.parametrize(
    ("keys", "code", "status"),
    [(b"\r", 130, "running"), (b"c\r", 6, "cancelled"), (b"\x03", 130, "running")],
    ids=["enter", "c", "second Ctrl-C"],
)
def test_ctrl_c_asks(
    environment: dict[str, str], client: AgentContainer, keys: bytes, code: int, status: str
) -> None:
    with terminal(
        environment, "run", script(waiting()), "-a", DATA, "--title", f"ask {code} {keys!r}"
    ) as screen:
        screen.until(b"bash")
        screen.send(b"\x03")
        screen.until(rb"Task goes on\.")
        time.sleep(0.2)
        screen.send(keys)
        assert screen.end() == code
        text = screen.output.decode()
    task = client.tasks.list(limit=1).first()
    assert task is not None
    assert task.status == status
    if status == "running":
        assert f"agentcontainer cancel {task.id}" in text
        task.cancel()


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


def test_hostile_text_cannot_steer_the_terminal(environment: dict[str, str]) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202eevil"
    steps = script(
        {"say": f"Look: {hostile}"}, {"bash": f"echo '{hostile}' # {hostile}"}, finish(message="Fine.")
    )
    with terminal(environment, "run", steps, "-a", DATA, "--title", "Hostile") as screen:
        assert screen.end() == 0
    assert b"owned" in screen.output
    assert b"\x1b]0;" not in screen.output
    assert b"\x1b[2J" not in screen.output
    assert "\u202e".encode() not in screen.output
