"""The parts of the command line that need no I/O."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentcontainer.cli.installation import environment_of
from agentcontainer.cli.main import app
from agentcontainer.cli.money import micro_usd
from agentcontainer.cli.up import stop_signals
from agentcontainer.errors import ValidationError
from agentcontainer.settings import load
from agentcontainer_client._events import decode
from agentcontainer_client.cli import event_lines

CREATED = datetime(2026, 3, 26, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("12", 12_000_000),
        ("12.5", 12_500_000),
        ("0.000001", 1),
        ("999999999.999999", 999_999_999_999_999),
    ],
)
def test_amounts_in_usd_are_parsed(text: str, expected: int) -> None:
    assert micro_usd(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "-1", "+1", "1.", ".5", "1,5", "1e2", "NaN", "inf", "1_000", "1 ", "1\n", "0.0000001", "1234567890",
        "10000000000", "٣",
    ],
)  # fmt: skip
def test_an_invalid_amount_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not an amount in USD"):
        micro_usd(text)


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stop_signals()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signal.SIGHUP in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_message_that_nobody_can_read_stops_nothing() -> None:
    program = "from agentcontainer.cli.up import say; say('PostgreSQL ended'); print('goes on')"
    with Path("/dev/full").open("w") as gone:
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=gone, stdout=subprocess.PIPE, timeout=30
        )
    assert done.stdout == b"goes on\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["credit", "acc_nobody", "0"], "must be more than 0"),
        (["create-account", "--name", " "], "--name must be 1 to 200 printable characters"),
        (["create-account", "--name", "a\x1b[2J"], "--name must be 1 to 200 printable characters"),
        (["create-account", "--name", "a" * 201], "--name must be 1 to 200 printable characters"),
    ],
)
def test_a_wrong_argument_of_admin_is_reported_in_one_sentence(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["admin", *arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_child_process_reads_the_same_settings_as_its_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"anthropic": {"model": {"input": 1.5, "output": 2}}}')
    for name, value in {
        "HOLD_USD": "0.75",
        "IMAGE_FOLDERS": "/srv/a,/srv/b",
        "INTERNET_ACCESS": "false",
        "MODEL_PRICES_FILE": str(prices),
        "WARM_SECONDS": "1.5",
    }.items():
        monkeypatch.setenv(f"AGENTCONTAINER_{name}", value)
    parent = load(data_dir=Path("/tmp/x"), port=0, secret_key="s" * 32).model_copy(update={"port": 4711})
    environment = environment_of(parent, {"PATH": "/bin", "AGENTCONTAINER_PORT": "1"})
    assert environment["PATH"] == "/bin"
    for name in [name for name in environment if name.startswith("AGENTCONTAINER_")]:
        monkeypatch.setenv(name, environment[name])
    assert load() == parent


HOSTILE = "[bold]no[/] \x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u202etxt.exe\u2028\ud800" + "x" * 500


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("message.completed", {"role": "assistant", "content": HOSTILE}),
        ("tool.started", {"tool": HOSTILE, "input": {"command": HOSTILE}}),
        ("tool.completed", {"tool": HOSTILE, "isError": True}),
        ("finish.rejected", {"message": HOSTILE}),
        ("task.failed", {"error": HOSTILE}),
        (HOSTILE, {}),
    ],
    ids=["message", "tool", "failed tool", "refused finish", "failed task", "event"],
)
def test_control_characters_in_an_event_are_not_printed(type_: str, data: dict[str, Any]) -> None:
    created_at = "2026-03-26T14:00:01.500Z"
    event = decode({"id": "evt_1", "sequence": 1, "type": type_, "createdAt": created_at, "data": data})
    shown = event_lines.line(event, CREATED)
    assert shown is not None
    assert "1.5 s" in shown[0]
    assert "[bold]no" in shown[0]
    assert shown[0].isprintable()
    assert len(shown[0]) < 300


@pytest.mark.parametrize(
    ("type_", "data", "text"),
    [
        ("budget.warning", {"percent": 80, "usedUsd": 1.25, "usedTokens": 9}, "80 % of the budget is used ($1.25)"),
        ("budget.reached", {"usedUsd": 2, "usedTokens": 9, "onReached": "fail"}, "the budget is used up ($2.00)"),
        (
            "budget.reached", {"usedUsd": 2, "usedTokens": 9, "onReached": "pause"},
            "the budget is used up ($2.00): waits until `agentcontainer update` raises it",
        ),
    ],
)  # fmt: skip
def test_events_of_a_budget_say_what_is_used(type_: str, data: dict[str, Any], text: str) -> None:
    created_at = "2026-03-26T14:00:01.500Z"
    event = decode({"id": "evt_1", "sequence": 1, "type": type_, "createdAt": created_at, "data": data})
    shown = event_lines.line(event, CREATED)
    assert shown is not None
    assert shown[0].endswith(text)


def test_an_event_of_unknown_type_is_printed_with_its_type() -> None:
    event = decode(
        {"sequence": 1, "type": "task.frozen", "createdAt": "2026-03-26T14:00:00.000Z", "data": {}}
    )
    assert "task.frozen" in (event_lines.line(event, CREATED) or "")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--port", "abc"], "Invalid value for '--port'"),
        (["up", "--prot", "1"], "No such option: --prot"),
        (["admin", "credit"], "Missing argument 'ACCOUNT_ID'"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {message}")
    assert "--help)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
