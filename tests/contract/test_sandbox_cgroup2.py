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
def seen() -> list[dict[str, Any]]:
    told = guest.run(COMMAND)
    found = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert len(found) == 2, told
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("guest")
@pytest.mark.parametrize("user", [0, USER])
def test_limits_hold_with_control_groups_v2(seen: list[dict[str, Any]], user: int) -> None:
    [one] = [one for one in seen if one["uid"] == user]
    assert one["weak"] is None
    assert one["memory"][1:] == [137, True], one["memory"]
    made, _, why = one["forks"][0].partition(" ")
    assert int(made) < 40 and why == "Resource temporarily unavailable"
    assert float(one["spin"][0]) < 3, "half a CPU for four seconds"
    assert one["frozen"] == [True, True]
    assert one["left"] == []
