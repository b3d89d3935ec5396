"""Control groups v2, as most hosts have them: in a virtual machine, since a test cannot choose its host's kind."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pyseccomp
import pytest

from tests import guest

SOURCES = Path(__file__).parents[2]
SECCOMP = Path(pyseccomp.__file__)
USER = 1234
PROGRAM = f"python3 {SOURCES}/tests/cgroup2_guest.py"


def of_the_unit() -> str:
    """The command with which the unit for ordinary users starts, as systemd reads it, here with our program."""
    drop_in = (SOURCES / "deploy/systemd/ordinary-user.conf").read_text()
    [command] = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", drop_in, re.MULTILINE)
    assert "/usr/local/bin/agentcontainer up" in command
    return command.replace("$$", "$").replace("/usr/local/bin/agentcontainer up", PROGRAM)


# The second run is an ordinary user's, in a group that was delegated to it, as systemd does for its users. The third is
# that of a unit of systemd with `User=` and `Delegate=yes`: its process begins in the group that is delegated.
COMMAND = f"""
cd /tmp
mkdir site
cp {SECCOMP} site/
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH={SOURCES}/src:/tmp/site PYTHONDONTWRITEBYTECODE=1
python3 {SOURCES}/tests/cgroup2_guest.py
group=/sys/fs/cgroup/user
mkdir $group
echo +memory +pids +cpu > /sys/fs/cgroup/cgroup.subtree_control
mkdir $group/session
chown -R {USER}:{USER} $group
echo $$ > $group/session/cgroup.procs
user="setpriv --reuid {USER} --regid {USER} --clear-groups"
$user {PROGRAM}
group=/sys/fs/cgroup/service
mkdir $group
chown -R {USER}:{USER} $group
sh -c 'echo $$ >/sys/fs/cgroup/service/cgroup.procs; exec "$@"' sh $user sh -c {shlex.quote(of_the_unit())}
"""


@pytest.fixture(scope="module")
def reports() -> list[dict[str, Any]]:
    output = guest.run(COMMAND)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len(lines) == 3, output
    return lines


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("guest")
@pytest.mark.parametrize(("number", "user"), [(0, 0), (1, USER), (2, USER)], ids=["root", "session", "unit"])
def test_limits_hold_with_control_groups_v2(reports: list[dict[str, Any]], number: int, user: int) -> None:
    report = reports[number]
    assert report["uid"] == user
    assert report["weak"] is None
    assert report["memory"][1:] == [137, True], report["memory"]
    forked, _, why = report["forks"][0].partition(" ")
    assert int(forked) < 40 and why == "Resource temporarily unavailable"
    assert report["spin"] < 3, "half a CPU for four seconds"
    assert report["frozen"] == [True, True]
    assert report["left"] == []
