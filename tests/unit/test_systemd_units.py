"""The systemd units in deploy/: systemd reads them without complaint, and their commands and settings exist."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agentcontainer.cli.main import app
from agentcontainer.settings import ENV_PREFIX, Settings

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNITS = sorted(FOLDER.glob("*.service"))
COMMAND = "/usr/local/bin/agentcontainer"
# Each of these breaks sandboxes, or their limits, where a runner or the look-up of an image starts them.
FORBIDDEN = (
    *("ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "ProtectHostname", "PrivateDevices"),
    *("RestrictNamespaces", "ProtectClock", "MemoryDenyWriteExecute", "PrivateUsers"),
)  # fmt: skip
OF_RUNNERS = ("RestrictSUIDSGID", "ProtectControlGroups", "DynamicUser")
STOP_SECONDS = {"up": 45, "api": 15, "runner": 35}  # docs/operations/install.md, Stopping


def service(unit: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    return parser["Service"]


def test_systemd_reads_the_units_and_the_drop_in_without_a_complaint(tmp_path: Path) -> None:
    for unit in (*UNITS, FOLDER / "ordinary-user.conf"):
        text = unit.read_text().replace(COMMAND, str(Path(sys.executable).with_name("agentcontainer")))
        text = text.replace("User=agentcontainer", "User=daemon")
        is_drop_in = unit.suffix == ".conf"
        (tmp_path / "agentcontainer.service.d").mkdir(exist_ok=True)
        (tmp_path / ("agentcontainer.service.d/user.conf" if is_drop_in else unit.name)).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_exists_and_gives_it_time_to_stop(unit: Path) -> None:
    settings = service(unit)
    program, command, *options = settings["ExecStart"].split()
    assert program == COMMAND
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {name for parameter in commands[command].params for name in parameter.opts}
    assert set(options) <= known
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) > STOP_SECONDS[command]
    assert settings["EnvironmentFile"].removeprefix("-") == "/etc/agentcontainer.env"
    assert (command in ("up", "runner")) == (settings.get("Delegate") == "yes")
    forbidden = {*FORBIDDEN, *(OF_RUNNERS if "Delegate" in settings else ())}
    assert forbidden.isdisjoint(settings)


def test_settings_that_units_name_exist() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for file in FOLDER.iterdir():
        assert set(re.findall(rf"\b{ENV_PREFIX}\w+", file.read_text())) <= known, file.name
