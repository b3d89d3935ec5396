"""Detecting a host's control groups and the values written into them, from files of real hosts, without I/O."""

from pathlib import Path
from typing import Literal

import pytest

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.detect import Mount, read_mounts, read_own_groups
from agentcontainer.sandbox.failure import explain
from agentcontainer.sandbox.limits import Controller, Hierarchy, settings

LIMITS = Limits(memory_bytes=512 * 1024**2, pids=100, cpus=1.5)

SYSTEMD_V2 = """\
24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
35 24 0:30 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
36 35 0:31 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
37 35 0:32 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
38 35 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
39 35 0:34 / /sys/fs/cgroup/memory rw shared:13 - cgroup cgroup rw,memory
40 35 0:35 / /sys/fs/cgroup/freezer rw shared:14 - cgroup cgroup rw,freezer
"""
IN_DOCKER = """\
500 480 0:34 /docker/abc /sys/fs/cgroup/memory\\040odd ro,nosuid master:13 - cgroup cgroup rw,memory
"""


def test_a_host_with_cgroups_v2_has_one_mount() -> None:
    assert read_mounts(SYSTEMD_V2) == [Mount(2, "/", Path("/sys/fs/cgroup"), frozenset())]


def test_a_host_with_cgroups_v1_and_v2_has_a_mount_for_each_controller() -> None:
    assert read_mounts(HYBRID) == [
        Mount(2, "/", Path("/sys/fs/cgroup/unified"), frozenset()),
        Mount(1, "/", Path("/sys/fs/cgroup/cpu,cpuacct"), frozenset({"cpu"})),
        Mount(1, "/", Path("/sys/fs/cgroup/memory"), frozenset({"memory"})),
        Mount(1, "/", Path("/sys/fs/cgroup/freezer"), frozenset({"freezer"})),
    ]


def test_a_mount_may_show_a_group_below_the_top_and_have_a_space_in_its_name() -> None:
    mounts = read_mounts(IN_DOCKER)
    assert mounts == [Mount(1, "/docker/abc", Path("/sys/fs/cgroup/memory odd"), frozenset({"memory"}))]


def test_the_own_control_groups_are_read_from_proc() -> None:
    text = "12:cpu,cpuacct:/user.slice\n3:name=systemd:/user.slice/a:b\n0::/user.slice/session-1.scope\n"
    assert read_own_groups(text) == {
        "cpu": "/user.slice",
        "cpuacct": "/user.slice",
        "name=systemd": "/user.slice/a:b",
        "": "/user.slice/session-1.scope",
    }


def test_root_uses_the_top_and_a_user_only_what_is_delegated(tmp_path: Path) -> None:
    mount = Mount(2, "/", tmp_path, frozenset())
    delegated = tmp_path / "user.slice" / "app"
    delegated.mkdir(parents=True)
    (delegated / "cgroup.procs").touch()
    own = {"": "/user.slice/app/scope"}
    assert mount.bases(own, is_root=True) == [tmp_path]
    assert mount.bases(own, is_root=False) == [delegated]
    assert mount.bases({"": "/../outside"}, is_root=False) == []
    assert mount.bases({}, is_root=False) == []


@pytest.mark.parametrize(
    ("name", "version", "written"),
    [
        ("memory", 1, {"memory.limit_in_bytes": 536870912, "memory.memsw.limit_in_bytes": 536870912}),
        ("memory", 2, {"memory.max": 536870912, "memory.swap.max": 0}),
        ("pids", 1, {"pids.max": 100}),
        ("pids", 2, {"pids.max": 100}),
        ("cpu", 1, {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": 150_000}),
        ("cpu", 2, {"cpu.max": "150000 100000"}),
    ],
)
def test_limits_are_written_to_the_control_files(
    name: str, version: int, written: dict[str, int | str]
) -> None:
    controller = Controller(name, 1 if version == 1 else 2, Path("/x"))
    assert {setting.file: setting.value for setting in settings(controller, LIMITS)} == written


def test_the_cpu_quota_is_never_less_than_the_kernel_takes() -> None:
    [setting] = settings(Controller("cpu", 2, Path("/x")), Limits(2**28, 64, 0.001))
    assert setting.value == "1000 100000"


def test_weak_limits_name_what_is_missing() -> None:
    every = Hierarchy(tuple(Controller(name, 2, Path("/x")) for name in ("memory", "pids", "cpu")))
    assert every.weak_limits_reason is None
    reason = Hierarchy(every.controllers[:2]).weak_limits_reason or ""
    assert reason.startswith("WEAK LIMITS: ")  # as documented
    assert "no control group for cpu," in reason


def test_a_host_without_a_freezer_has_full_limits_and_one_with_nothing_else_has_none() -> None:
    assert "memory, pids, cpu" in (
        Hierarchy((Controller("freezer", 1, Path("/x")),)).weak_limits_reason or ""
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_reports_which_limits_were_hit(tmp_path: Path, version: Literal[1, 2]) -> None:
    folder = tmp_path / "tsk_1-1"
    group = Hierarchy(tuple(Controller(name, version, tmp_path) for name in ("memory", "pids"))).group(
        folder.name
    )
    assert (group.oom_kills(), group.refused_processes(), group.is_out_of_processes) == (0, 0, False)
    folder.mkdir()
    memory = {1: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 2: "low 0\nmax 9\noom 4\noom_kill 3\n"}
    (folder / ("memory.oom_control" if version == 1 else "memory.events")).write_text(memory[version])
    (folder / "pids.events").write_text("max 17\n")
    (folder / "pids.max").write_text("100\n")
    (folder / "pids.current").write_text("96\n")
    assert (group.oom_kills(), group.refused_processes(), group.is_out_of_processes) == (3, 17, False)
    (folder / "pids.current").write_text("97\n")
    assert group.is_out_of_processes
    (folder / "pids.max").write_text("max\n")
    assert not group.is_out_of_processes


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", ".hidden", "a\n", "a" * 129])
def test_a_sandbox_id_is_never_a_path(name: str) -> None:
    with pytest.raises(SandboxError, match="sandbox id"):
        Hierarchy().group(name)


@pytest.mark.parametrize(
    ("stderr", "part"),
    [
        ("bwrap: No permissions to creating new namespace, likely because …", "User namespaces are disabled"),
        ("bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns"),
        ("bwrap: Unknown option --disable-userns", "0.8.0 or newer"),
        ("unshare: unshare failed: Operation not permitted", "CAP_SYS_ADMIN"),
        ("mount: /mnt: permission denied.", "CAP_SYS_ADMIN"),
        ("setpriv: setresuid failed: Operation not permitted", "CAP_SETUID"),
        ("/bin/sh: 4: cannot create /sys/fs/cgroup/x/cgroup.procs: Permission denied", "control group"),
        ("bwrap: Can't find source path /srv/secret/runtime: No such file or directory", "cannot be read"),
        ("something new about /srv/secret", "log says why"),
    ],
)
def test_a_failed_launch_is_described_without_paths(stderr: str, part: str) -> None:
    assert part in explain(stderr)
    assert "/srv" not in explain(stderr)
