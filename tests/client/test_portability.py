"""The client and its commands without what only POSIX systems have, as on Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.played_api import KEY, played_api

pytestmark = pytest.mark.xdist_group("played API")

PROGRAM = """
import importlib, os, pkgutil, select, signal, sys

LACKING = ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "readline", "curses", "syslog", "crypt", "nis")
for name in LACKING:
    sys.modules[name] = None  # the import fails
for name in ("fork", "forkpty", "getuid", "geteuid", "getgid", "setsid", "killpg", "chown", "fchmod", "mkfifo"):
    delattr(os, name)
for name in ("poll", "epoll"):
    delattr(select, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "pthread_sigmask"):
    delattr(signal, name)

import agentcontainer_client
for module in pkgutil.walk_packages(agentcontainer_client.__path__, "agentcontainer_client."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from agentcontainer_client.cli.app import run
codes = []
for line in sys.argv[1:]:
    try:
        run(line.split())
    except SystemExit as end:
        codes.append(end.code)
print(codes, file=sys.stderr)
"""
COMMANDS = {
    "run x a.txt -a agt_complete -o out": 0,
    "run x -a agt_working -d": 0,
    "cancel @last": 0,
    "wait @last": 6,
    "list": 0,
    "chat": 0,
    "agents apply a.txt": 2,
    "login --with-key --profile p --url http://127.0.0.1:9": 2,  # no key on stdin
}


def test_the_commands_need_nothing_that_windows_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with played_api() as api:
        environment = os.environ | {
            "AGENTCONTAINER_URL": api.url, "AGENTCONTAINER_API_KEY": KEY, "XDG_CONFIG_HOME": str(tmp_path),
        }  # fmt: skip

        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *COMMANDS],
            env=environment, cwd=tmp_path, input=b"", capture_output=True, timeout=60,
        )  # fmt: skip
    assert done.stderr.decode().splitlines()[-1] == str([*COMMANDS.values()]), done.stderr.decode()
    assert done.stdout.startswith(b"Done.")
