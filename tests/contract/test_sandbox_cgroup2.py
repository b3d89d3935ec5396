"""Control groups v2, as most hosts have them: in a virtual machine, since a test cannot choose its host's kind."""

import json
from pathlib import Path
from typing import Any

import pyseccomp
import pytest

from tests import guest

SOURCES = Path(__file__).parents[2]
SECCOMP = Path(pyseccomp.__file__)
USER = 1234

# The second run is an ordinary user's, in a group that was delegated to it, as systemd does for its users.
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
setpriv --reuid {USER} --regid {USER} --clear-groups python3 {SOURCES}/tests/cgroup2_guest.py
"""


@pytest.fixture(scope="module")
def reports() -> list[dict[str, Any]]:
    output = guest.run(COMMAND)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len(lines) == 2, output
    return lines


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("guest")
@pytest.mark.parametrize("user", [0, USER])
def test_limits_hold_with_control_groups_v2(reports: list[dict[str, Any]], user: int) -> None:
    [report] = [report for report in reports if report["uid"] == user]
    assert report["weak"] is None
    assert report["memory"][1:] == [137, True], report["memory"]
    forked, _, why = report["forks"][0].partition(" ")
    assert int(forked) < 40 and why == "Resource temporarily unavailable"
    assert report["spin"] < 3, "half a CPU for four seconds"
    assert report["frozen"] == [True, True]
    assert report["left"] == []
