"""The commands for users on terminals, against an API that plays every way a task can go."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcontainer_client import __version__
from tests.client.played_api import FATES, HOSTILE, KEY, PlayedApi, played_api
from tests.client.terminal import COMMAND, Screen, Terminal, terminal

pytestmark = [pytest.mark.xdist_group("played API"), pytest.mark.usefixtures("unanswered")]

Environment = dict[str, str]
SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def api() -> Iterator[PlayedApi]:
    with played_api() as server:
        yield server


def of_user(api: PlayedApi, folder: Path) -> Environment:
    """The environment of a user who has logged in by environment variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {
        "AGENTCONTAINER_URL": api.url, "AGENTCONTAINER_API_KEY": KEY, "XDG_CONFIG_HOME": str(folder),
        "TERM": "xterm", "PYTHONUTF8": "1",
    }  # fmt: skip


@pytest.fixture
def environment(api: PlayedApi, tmp_path: Path) -> Environment:
    return of_user(api, tmp_path)


@pytest.fixture(scope="module")
def unanswered(api: PlayedApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A question that nobody answers while the other tests of this module run."""
    environment = of_user(api, tmp_path_factory.mktemp("config"))
    with terminal(environment, "run", "x", "-a", "agt_unanswered") as screen:
        screen.until(b"bash")
        screen.send(b"\x03")
        screen.until(rb"Task goes on\.")
        yield screen


def piped(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60
    )


CODES: list[tuple[str, list[str], int]] = [
    ("complete", [], 0),
    ("unknown", [], 1),
    ("complete", ["--budget", "-1"], 1),
    ("complete", ["--max-runtime", "soon"], 2),
    ("complete", ["--bogus"], 2),
    ("failed", [], 3),
    ("forbidden", [], 4),
    ("incomplete", [], 5),
    ("cancelled", [], 6),
    ("expired", [], 6),
    ("poor", [], 7),
    ("working", ["--timeout", "1"], 124),
]


def test_every_row_of_the_table_of_exit_codes_on_a_terminal(environment: Environment) -> None:
    opened = [Terminal(environment, "run", "x", "-a", f"agt_{fate}", *options) for fate, options, _ in CODES]
    try:
        ended = [screen.end() for screen in opened]
        shown = {code: screen.output.decode() for code, screen in zip(ended, opened, strict=True)}
    finally:
        for screen in opened:
            screen.close()
    assert ended == [code for _, _, code in CODES]
    assert "error: It took too long. (tsk_failed" in shown[3]
    assert "It goes on." in shown[124]
    assert all("Traceback" not in text for text in shown.values())


def test_a_wrong_key_and_no_key_have_the_code_4(environment: Environment) -> None:
    wrong = piped(environment | {"AGENTCONTAINER_API_KEY": "ac_live_wrong0123456789"}, "list")
    assert (wrong.returncode, wrong.stdout) == (4, b"")
    assert wrong.stderr == b"error: The API key is unknown or revoked. (request req_played)\n"
    without = {name: value for name, value in environment.items() if name != "AGENTCONTAINER_API_KEY"}
    refused = piped(without, "list")
    assert refused.returncode == 4
    assert f"agentcontainer login --url {without['AGENTCONTAINER_URL']}".encode() in refused.stderr


def test_in_a_pipe_stdout_is_the_result_byte_for_byte(environment: Environment) -> None:
    for fate in ("complete", "incomplete", "hostile"):
        done = piped(environment, "run", "x", "-a", f"agt_{fate}")
        assert done.stdout == FATES[fate]["result"].encode()
        assert b"\x1b" not in done.stderr
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stderr.decode()) is None
    for fate in ("failed", "poor"):
        assert piped(environment, "run", "x", "-a", f"agt_{fate}").stdout == b""


def test_a_server_that_is_older_than_the_command_is_named_once(
    environment: Environment, api: PlayedApi
) -> None:
    api.version = "0.0.9"
    try:
        shown = piped(environment, "list")
    finally:
        api.version = __version__
    assert shown.returncode == 0
    assert shown.stderr.startswith(b"warning: the server has version 0.0.9, this command ")
    assert shown.stderr.count(b"\n") == 1
    assert piped(environment, "list").stderr == b""


def test_a_watched_list_is_drawn_again_until_ctrl_c(environment: Environment, api: PlayedApi) -> None:
    api.dispatch("agt_complete", {"instructions": "x", "title": "Watch me"})
    with terminal(environment, "list", "--watch", "-n", "1") as screen:
        screen.until(rb"Watch me.*\x1b\[H\x1b\[2J.*Watch me")
        screen.send(b"\x03")
        assert screen.end() == 130


def test_a_reader_that_goes_away_is_no_error(environment: Environment) -> None:
    command = f"{' '.join(COMMAND)} run x -a agt_complete --events | head -n 1"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, timeout=60)
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


Answer = tuple[str, Callable[[Terminal], None], int, str]


def answering(keys: bytes) -> Callable[[Terminal], None]:
    def act(screen: Terminal) -> None:
        screen.send(b"\x03")
        screen.until(rb"Task goes on\..*watching")
        time.sleep(0.2)
        screen.send(keys)

    return act


ANSWERS: list[Answer] = [
    ("enter", answering(b"\r"), 130, "running"),
    ("other", answering(b"x\r"), 130, "running"),
    ("cancel", answering(b"c\r"), 6, "cancelled"),
    ("again", answering(b"\x03"), 130, "running"),
    ("term", lambda screen: os.kill(screen.pid, signal.SIGTERM), 130, "running"),
]


def test_each_answer_to_ctrl_c(environment: Environment, api: PlayedApi) -> None:
    opened = [Terminal(environment, "run", "x", "-a", f"agt_{name}") for name, *_ in ANSWERS]
    try:
        for screen, (name, act, _, _) in zip(opened, ANSWERS, strict=True):
            screen.until(b"bash")
            act(screen)
            if name == "term":
                screen.until(rb"Task goes on\.")
                screen.send(b"\r")
        for screen, (name, _, code, status) in zip(opened, ANSWERS, strict=True):
            assert screen.end() == code, name
            [task] = [task for task in api.tasks.values() if task.agent == f"agt_{name}"]
            assert task.content["status"] == status
            ways_back = [f"agentcontainer {verb} {task.id}" for verb in ("logs -f", "cancel", "open")]
            shown = screen.output.decode()
            assert [way in shown for way in ways_back] == [status == "running"] * 3
    finally:
        for screen in opened:
            screen.close()


def test_watching_goes_on_where_it_was(environment: Environment, api: PlayedApi) -> None:
    with terminal(environment, "run", "x", "-a", "agt_watched") as screen:
        screen.until(b"bash")
        answering(b"w\r")(screen)
        time.sleep(0.3)
        [task] = [task for task in api.tasks.values() if task.agent == "agt_watched"]
        task.end("finished", completion="complete", result="Well watched.")
        assert screen.end() == 0
    assert screen.output.count(b"task created") == 1
    assert screen.output.rstrip().endswith(b"Well watched.")


@pytest.mark.parametrize("agent", ["agt_complete", "agt_slow"], ids=["upload", "dispatch"])
def test_ctrl_c_before_the_task_is_known(
    environment: Environment, api: PlayedApi, tmp_path: Path, agent: str
) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(3_000_000))
    (tmp_path / "b.bin").write_bytes(bytes(3_000_000))
    files = [str(tmp_path / name) for name in ("a.bin", "b.bin")] if agent == "agt_complete" else []
    before = len(api.tasks)
    api.requests.clear()
    with terminal(environment, "run", "x", *files, "-a", agent) as screen:
        wanted = "PUT" if files else f"POST /api/v1/agents/{agent}/tasks"
        while wanted not in api.requests:
            screen.until(b"")
            time.sleep(0.05)
        began = time.monotonic()
        screen.send(b"\x03")
        assert screen.end() == 130
        assert time.monotonic() - began < 5
    shown = screen.output.decode()
    assert ("no task was dispatched" if files else "agentcontainer list -n 1") in shown
    assert len(api.tasks) == before


def test_a_signal_without_a_terminal_detaches_or_cancels(environment: Environment, api: PlayedApi) -> None:
    for agent, options, number, code, status in (
        ("sigint", [], signal.SIGINT, 130, "running"),
        ("sigterm", ["--cancel-on-exit"], signal.SIGTERM, 6, "cancelled"),
    ):
        process = subprocess.Popen(
            ["bash", "-c", 'trap - INT; exec "$@"', "bash", *COMMAND, "run", "x", "-a", f"agt_{agent}", *options],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert process.stderr is not None
        while b"bash" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == b""
        assert process.returncode == code
        [task] = [task for task in api.tasks.values() if task.agent == f"agt_{agent}"]
        assert task.content["status"] == status


@pytest.mark.parametrize(
    "plain",
    [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"option": "--no-color"}],
    ids=["NO_COLOR", "dumb", "option"],
)
def test_no_colour_where_none_is_wanted(environment: Environment, plain: dict[str, str]) -> None:
    options = [plain.pop("option")] if "option" in plain else []
    with terminal(environment | plain, "run", "x", "-a", "agt_complete", *options) as screen:
        assert screen.end() == 0
    colours = [sequence for sequence in SEQUENCE.findall(screen.output) if sequence.endswith(b"m")]
    assert all(re.fullmatch(rb"\x1b\[(0|1|2)?m", sequence) for sequence in colours), colours
    if "TERM" in plain:
        assert b"\x1b" not in screen.output


@pytest.mark.parametrize("columns", [24, 40, 100])
def test_no_line_of_progress_wraps_on_a_narrow_terminal(environment: Environment, columns: int) -> None:
    title = "A title that is much longer than the terminal is wide"
    with terminal(
        environment, "run", "x", "-a", "agt_complete", "--title", title, "-q", columns=columns
    ) as quiet:
        assert quiet.end() == 0
    assert Screen(quiet.output, columns).text == FATES["complete"]["result"]
    with terminal(environment, "run", "x", "-a", "agt_complete", "--title", title, columns=columns) as screen:
        assert screen.end() == 0
    shown = Screen(screen.output, columns)
    progress = [line for line in shown.lines if " s  " in line]
    assert any("agent: Now" in line for line in progress), shown.text
    assert len(progress) == 5, shown.text
    assert shown.text.endswith(FATES["complete"]["result"])


def test_hostile_text_steers_no_terminal(environment: Environment) -> None:
    with terminal(environment, "run", "x", "-a", "agt_hostile", "--title", HOSTILE) as screen:
        assert screen.end() == 0
    for forbidden in (b"\x1b]", b"\x1b[2J", b"\x9b31m", "\u202e".encode(), "\u2028".encode(), b"\x07"):
        assert forbidden not in screen.output
    assert "evil next back" in Screen(screen.output, 80).text


def test_the_live_view_shows_time_tokens_and_cost(environment: Environment) -> None:
    with terminal(environment, "run", "x", "-a", "agt_metered", "--title", "Metered") as screen:
        screen.until(rb"Metered  running  0:0\d  6903 tokens in, 1265 out, \$0\.0025")
        screen.send(b"\x03")
        screen.until(b"watching")
        screen.send(b"\x03")
        assert screen.end() == 130


def test_lists_fit_into_the_terminal(environment: Environment, api: PlayedApi) -> None:
    api.dispatch("agt_complete", {"instructions": "x", "title": "日本語の長い題" * 9})
    with terminal(environment, "list", columns=40) as screen:
        assert screen.end() == 0
    assert Screen(screen.output, 40).wrapped == 0


def test_a_key_is_typed_unseen_and_stored_for_its_owner_only(
    environment: Environment, api: PlayedApi, tmp_path: Path
) -> None:
    environment.pop("AGENTCONTAINER_URL")
    environment.pop("AGENTCONTAINER_API_KEY")
    with terminal(environment, "login", "--with-key", "--url", api.url) as screen:
        screen.until(b"API key: ")
        screen.send(f"{KEY}\r".encode())
        assert screen.end() == 0
    assert KEY.encode() not in screen.output
    assert (tmp_path / "agentcontainer/config.toml").stat().st_mode & 0o777 == 0o600
    assert piped(environment, "whoami").returncode == 0


@pytest.mark.parametrize(("answer", "code"), [(b"n\r", 1), (b"\x03", 1)], ids=["no", "Ctrl-C"])
def test_what_cannot_be_undone_is_asked_for(
    environment: Environment, api: PlayedApi, answer: bytes, code: int
) -> None:
    api.requests.clear()
    with terminal(environment, "rm", "file_1") as screen:
        screen.until(rb"for good\?.*: ")
        screen.send(answer)
        assert screen.end() == code
    assert api.requests == []


def test_a_shell_completes_tasks_and_options(
    environment: Environment, api: PlayedApi, tmp_path: Path
) -> None:
    task = api.dispatch("agt_complete", {"instructions": "x", "title": "Complete me"})

    def completed(*words: str) -> str:
        asked = {
            "_AGENTCONTAINER_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(["agentcontainer", *words]),
            "COMP_CWORD": str(len(words)), "XDG_CACHE_HOME": str(tmp_path),
        }  # fmt: skip
        return piped(environment | asked).stdout.decode()

    assert task.id in completed("show", task.id[:12])
    assert "--output-dir" in completed("run", "--output-d")
    assert piped(environment, "completion", "bash").stdout.startswith(b"_agentcontainer")
    api_is_away = environment | {"AGENTCONTAINER_URL": "http://127.0.0.1:9"}
    assert "Traceback" not in piped(api_is_away, "completion", "fish").stderr.decode()


def test_a_question_that_nobody_answers_detaches_after_ten_seconds(
    unanswered: Terminal, api: PlayedApi
) -> None:
    assert unanswered.end(30) == 130
    assert b"Detached; the task goes on." in unanswered.output
    [task] = [task for task in api.tasks.values() if task.agent == "agt_unanswered"]
    assert task.content["status"] == "running"
