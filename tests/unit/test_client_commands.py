"""The parts of the commands for users that need no server: arguments, texts, exit codes."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agentcontainer_client import errors, models
from agentcontainer_client.cli import exits, text
from agentcontainer_client.cli.app import SHARED_FLAGS, SHARED_VALUES, app, arranged
from agentcontainer_client.cli.run import output_policy, read_prompt

TASK = {"id": "tsk_1", "createdAt": "2026-03-26T14:00:00.000Z"}


@pytest.mark.parametrize(
    ("arguments", "shared", "rest"),
    [
        (["run", "x", "--debug"], ["--debug"], ["run", "x"]),
        (["run", "--profile", "work", "x"], ["--profile", "work"], ["run", "x"]),
        (["list", "--url=https://a.test"], ["--url=https://a.test"], ["list"]),
        (["show", "@last", "--json=id,status"], [], ["show", "@last", "--json", "--fields", "id,status"]),
        (["run", "x", "--internet"], [], ["run", "x", "--internet="]),
        (["run", "--", "--debug"], [], ["run", "--", "--debug"]),
    ],
)
def test_shared_options_may_stand_anywhere(arguments: list[str], shared: list[str], rest: list[str]) -> None:
    assert arranged(arguments) == (shared, rest)


def test_no_command_has_an_option_that_would_be_taken_as_a_shared_one() -> None:
    def options(command: Any) -> set[str]:
        own = {name for parameter in command.params for name in parameter.opts}
        return own.union(*(options(each) for each in getattr(command, "commands", {}).values()))

    group = typer.main.get_command(app)
    for command in group.commands.values():  # type: ignore[attr-defined]
        assert not options(command) & (SHARED_FLAGS | SHARED_VALUES)


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172800)]
)
def test_durations_have_units(written: str, seconds: int) -> None:
    assert text.duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["", "m", "-1", "0", "1w", "nan", "inf", "1e99"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="is not a duration"):
        text.duration(written)


def test_text_for_terminals_is_harmless_and_keeps_what_is_readable() -> None:
    assert (
        text.harmless("a\x1b[2Jb\x9b31m\u202ec\u2028\ue000\r\nd\té 👩‍💻 日本")
        == "a [2Jb 31m c   \nd\té 👩‍💻 日本"
    )
    assert text.one_line("a\n  b\tc" * 100, 10) == "a b ca b …"


def test_the_prompt_is_an_argument_or_a_file(tmp_path: Path) -> None:
    assert read_prompt(["Do it.", "a.csv"], None) == ("Do it.", ["a.csv"])
    (tmp_path / "prompt.md").write_text("From a file.")
    assert read_prompt(["a.csv"], str(tmp_path / "prompt.md")) == ("From a file.", ["a.csv"])
    for words in ([], [""], ["  "]):
        with pytest.raises(errors.ConfigurationError):
            read_prompt(words, None)


def test_outputs_are_a_mode_or_names() -> None:
    assert output_policy([]) is None
    assert output_policy(["at_least_one"]) == "at_least_one"
    assert output_policy(["report", "data"]) == ["report", "data"]


@pytest.mark.parametrize(
    ("status", "completion", "code"),
    [
        ("finished", "complete", 0),
        ("finished", None, 0),
        ("finished", "incomplete", 5),
        ("failed", None, 3),
        ("cancelled", None, 6),
        ("expired", None, 6),
    ],
)
def test_each_end_has_its_exit_code(status: str, completion: str | None, code: int) -> None:
    task = models.Task.from_wire(TASK | {"status": status, "completion": completion})
    assert exits.of_task(task) == code


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert exits.of_error(errors.Unauthorized(401, "unauthorized", "x")) == 4
    assert exits.of_error(errors.Forbidden(403, "forbidden", "x")) == 4
    assert exits.of_error(errors.InsufficientBalance(402, "insufficient_balance", "x")) == 7
    assert exits.of_error(errors.WaitTimedOut("tsk_1", 3)) == 124
    assert exits.of_error(errors.ConnectionFailed("x")) == 1
    assert exits.of_error(errors.NotLoggedIn("No API key for x.")) == 4
    assert exits.of_error(errors.ConfigurationError("x is not a file.")) == 2


def test_without_the_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from agentcontainer_client.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the command needs two more packages: pip install 'agentcontainer-client[cli]'\n"
    )


@pytest.mark.parametrize(
    ("target", "secret", "message"),
    [
        ("127.0.0.1:3000", "", "127.0.0.1:3000 is not a URL such as http://127.0.0.1:3000/hook."),
        ("http:///hook", "", "http:///hook is not a URL such as http://127.0.0.1:3000/hook."),
        ("http://[::1/", "", "http://[::1/ is not a URL such as http://127.0.0.1:3000/hook."),
        ("http://127.0.0.1:3000/", "hunter2", "The secret of a webhook begins with whsec_."),
    ],
)
def test_listen_refuses_what_it_could_not_send(target: str, secret: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agentcontainer_client.cli", "webhooks", "listen", "--forward", target],
        env=os.environ | {"AGENTCONTAINER_WEBHOOK_SECRET": secret}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
