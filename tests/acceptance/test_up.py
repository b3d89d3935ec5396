"""`agentcontainer up` as an operator uses it: start, stop, restart, and refusal to start."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx2
import psutil
import pytest

from tests import data_folder
from tests.acceptance.up import COMMAND, Up, environment, up, wait_until
from tests.ordinary_user import as_ordinary_user, home_in


def command(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=60
    )


def account_of(running: Up, key: str | None) -> str:
    answer = running.get("/api/v1/account", key)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def is_gone(family: list[psutil.Process], seconds: float) -> bool:
    return not psutil.wait_procs(family, timeout=seconds)[1]


def test_with_json_logs_each_line_of_up_and_its_parts_is_an_object(short_dir: Path) -> None:
    data_dir = short_dir / "data"
    data_dir.mkdir()
    data_folder.fill(data_dir)
    with up(data_dir, wrap=lambda argv: [*argv, "--print-login-link"], LOG_FORMAT="json", PROT=1) as running:
        started = json.loads(running.block)
        page, _, code = started["dashboardUrl"].partition("/login#")
        login = httpx2.post(
            f"{page}/session", json={"code": code}, headers={"X-AC-UI": "1", "Origin": page}, trust_env=False
        )
        assert login.status_code == 204, login.text
        assert started["message"] == "AgentContainer is up"
        answer = httpx2.get(
            f"{started['apiUrl']}/account",
            headers={"Authorization": f"Bearer {started['apiKey']}"},
            trust_env=False,
            verify=False,
        )
        assert answer.status_code == 200
        api = running.pid_of("api")
        assert api is not None
        os.kill(api, signal.SIGKILL)
        assert wait_until(lambda: running.stderr.read_text().count("listening on") == 2, 60)
        second = command("up", "--port", "0", DATA_DIR=data_dir, LOG_FORMAT="json")
        assert "is already running" in json.loads(second.stderr)["message"]
        assert running.interrupt(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in running.stderr.read_text().splitlines()]
    messages = {line["message"].partition(";")[0]: line["level"] for line in lines}
    assert messages["AGENTCONTAINER_PROT is not a setting and has no effect"] == "warning"
    assert messages["api ended with signal 9"] == messages["stopping"] == "info"
    assert {"agentcontainer.cli.up", "agentcontainer.api.serve", "agentcontainer.runner.serve"} <= {
        line["logger"] for line in lines
    }


def test_started_again_it_has_everything(short_dir: Path) -> None:
    data_dir = short_dir / "data"
    with up(data_dir) as first:
        key = first.api_key
        account_id = account_of(first, key)
        family = first.family()
        assert {first.pid_of(part) is None for part in ("api", "runner", "postgres")} == {False}

        assert f"with --data-dir {data_dir}" in first.block
        assert f"Dashboard {first.base_url}/\n" in first.block  # a file must hold no login code
        account = command("admin", "create-account", "--name", "Ann", "--json", "--data-dir", str(data_dir))
        assert account.returncode == 0, account.stderr
        anns_key = json.loads(account.stdout)["apiKey"]
        assert account_of(first, anns_key) == json.loads(account.stdout)["accountId"]

        second = command("up", "--port", "0", DATA_DIR=data_dir)
        assert second.returncode == 1
        assert second.stderr == (
            f"error: AgentContainer is already running (pid {first.process.pid}) on {data_dir}.\n"
        )
        assert first.interrupt(signal.SIGTERM) == 0
        assert is_gone(family, 15)

    with up(data_dir, "--print-login-link", wrap=lambda argv: ["nohup", *argv]) as again:
        assert (again.log_in(), again.log_in()) == (204, 401), "the link works once"
        again.process.send_signal(
            signal.SIGHUP
        )  # the terminal closes; if `up` stopped now, SIGINT below would exit with 130
        assert again.api_key is None
        assert account_of(again, key) == account_id
        assert account_of(again, anns_key) != account_id
        assert again.interrupt(signal.SIGINT) == 0
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert (data_dir / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_second_interrupt_ends_it_at_once(short_dir: Path) -> None:
    (short_dir / "data").mkdir(mode=0o700)
    data_folder.fill(short_dir / "data")
    with up(short_dir / "data", "--no-profile", is_on_terminal=True) as running:
        assert running.log_in() == 204, "on a terminal it prints a link"
        family = running.family()
        runner = running.pid_of("runner")
        assert runner is not None
        os.kill(runner, signal.SIGSTOP)  # it does not drain
        assert running.interrupt(signal.SIGINT, signal.SIGINT) == 130
        assert is_gone(family, 15)


def test_a_port_in_use_is_reported_in_a_sentence(short_dir: Path) -> None:
    data_folder.fill(short_dir)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = command("up", "--port", str(port), DATA_DIR=short_dir)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: The API cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another --port.\n"
    )
    done = command(
        "up", "--host", "192.0.2.1", "--port", "0", DATA_DIR=short_dir
    )  # no address of any machine
    assert done.stderr == (
        "error: The API cannot listen on 192.0.2.1 port 0: Cannot assign requested address. Choose another --host.\n"
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORT": "http"}, "AGENTCONTAINER_PORT is wrong"),
        ({"SECRET_KEY": "short"}, "AGENTCONTAINER_SECRET_KEY is wrong: must have at least 32 characters"),
        (
            {"DATA_DIR": "/tmp/" + "x" * 80},
            "AGENTCONTAINER_DATA_DIR is wrong: the path is longer than 60 bytes",
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_by_name(
    short_dir: Path, settings: dict[str, str], sentence: str
) -> None:
    done = command("up", **({"DATA_DIR": short_dir / "data"} | settings))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not list(short_dir.iterdir())


def test_a_readable_secret_key_is_refused(short_dir: Path) -> None:
    (short_dir / "secret_key").write_text("k" * 40)
    (short_dir / "secret_key").chmod(0o644)
    done = command("up", "--port", "0", DATA_DIR=short_dir)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: {short_dir}/secret_key can be read by other users. Run: chmod 600 {short_dir}/secret_key\n"
    )


def test_an_ordinary_user_can_run_it(short_dir: Path) -> None:
    if os.geteuid() != 0:
        return  # the tests above have covered this case
    with up(home_in(short_dir) / "data", wrap=as_ordinary_user) as running:
        assert account_of(running, running.api_key)
        assert {process.uids().real for process in running.family()} == {65534}
        assert running.interrupt(signal.SIGTERM) == 0
