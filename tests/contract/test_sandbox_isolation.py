"""What a hostile payload can see: probes run inside and print it. test_escapes.py tries what it must not do."""

import asyncio
import json
import os
import platform
import secrets
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from agentcontainer.sandbox import host_settings
from tests.contract.sandbox_bed import Bed

CALLS = {  # numbers of calls that Python has no name for
    "x86_64": {
        "keyctl": 250,
        "bpf": 321,
        "userfaultfd": 323,
        "perf_event_open": 298,
        "ptrace": 101,
        "clone": 56,
        "io_setup": 206,
    },
    "aarch64": {
        "keyctl": 219,
        "bpf": 280,
        "userfaultfd": 282,
        "perf_event_open": 241,
        "ptrace": 117,
        "clone": 220,
        "io_setup": 0,
    },
}[platform.machine()] | {"io_uring_setup": 425, "clone3": 435, "fsopen": 430, "open_tree_attr": 467}


async def test_the_hosts_files_are_not_there(bed: Bed) -> None:
    secret = bed.folder / "secret.txt"
    secret.write_text("s")
    secret.chmod(0o644)
    script = """
import json, os, sys
for path in ("/etc/shadow", "/root", "/home", "/var/lib", "/sys", "/proc/1/root/etc", "/boot", sys.argv[1]):
    try: os.listdir(path) if os.path.isdir(path) else open(path).read(); print("read", path)
    except OSError: pass
print(json.dumps([sorted(os.listdir(path)) for path in ("/", "/etc", "/run", "/workspace")]))
"""
    outcome = await bed.python(script, str(secret))
    read, listing = outcome.out.splitlines()
    assert read == "read /proc/1/root/etc"  # its own
    root, etc, run, workspace = json.loads(listing)
    assert root == [
        *("bin", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin", "tmp", "usr", "var", "workspace")
    ]
    ours = {"group", "hosts", "nsswitch.conf", "passwd"}
    assert set(etc) == ours | {Path(path).parts[2] for path in host_settings.visible_paths()}
    assert (run, workspace) == (["agentcontainer"], [])


async def test_programs_find_the_hosts_settings_and_nothing_beside_them(bed: Bed) -> None:
    script = """
import json, os, socket, sys
missing = [path for path in json.loads(sys.argv[1]) if not os.path.exists(path)]
beside = [name for name in ("private",) if name in os.listdir("/etc/ssl")]
print(socket.getservbyname("http"), socket.getprotobyname("udp"), missing, beside)
"""
    shown = json.dumps(host_settings.visible_paths())
    assert (await bed.python(script, shown)).out == "80 17 [] []\n"


async def test_the_hosts_processes_and_names_are_not_there(bed: Bed) -> None:
    script = """
import os, pwd, socket
print(len([p for p in os.listdir("/proc") if p.isdigit()]), socket.gethostname(), len(pwd.getpwall()))
"""
    assert (await bed.python(script)).out == "2 sandbox 3\n"  # bwrap and itself


async def test_nothing_of_the_launcher_shows(bed: Bed) -> None:
    os.environ["AGENTCONTAINER_TEST_SECRET"] = marker = secrets.token_hex(8)
    try:
        command = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/status | tr '\\0' '\\n'"
        outcome = await bed.run("sh", "-c", command)
    finally:
        del os.environ["AGENTCONTAINER_TEST_SECRET"]
    assert "PATH=" in outcome.out
    assert marker not in outcome.out
    assert str(bed.folder) not in outcome.out


async def test_the_payload_has_no_capability_and_can_get_none(bed: Bed) -> None:
    outcome = await bed.run("grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status")
    assert dict(line.split(":\t") for line in outcome.out.splitlines()) == {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16),
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


async def test_forbidden_system_calls_are_refused(bed: Bed) -> None:
    script = """
import ctypes, errno, fcntl, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def outcome(result): return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def family(*arguments):
    try: socket.socket(*arguments); return "ok"
    except OSError as e: return errno.errorcode[e.errno]
calls = json.loads(sys.argv[1])
seen = {"clone_newuser": outcome(libc.syscall(calls.pop("clone"), 0x10000000 | 17, 0, 0, 0, 0))}
for name, number in calls.items():
    seen[name] = outcome(libc.syscall(number, 0, 0, 0, 0, 0, 0))
seen["unshare_fs"] = outcome(libc.unshare(0x200))
seen["setns"] = outcome(libc.setns(0, 0))
seen["mount"] = outcome(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
seen["chroot"] = outcome(libc.chroot(b"/tmp"))
master, slave = os.openpty()
os.setsid()
fcntl.ioctl(slave, 0x540E, 0)  # TIOCSCTTY: now it is one's own terminal, which the kernel lets one type into
for name, request in (("TIOCSTI", 0x5412), ("TIOCSTI_high", 0x100005412), ("TIOCLINUX", 0x541c)):
    seen[name] = outcome(libc.ioctl(slave, ctypes.c_ulong(request), b"x"))
for name, arguments in dict(unix=(1, 1), inet=(2, 1), inet6=(10, 1), route=(16, 3, 0), audit=(16, 3, 9),
                            packet=(17, 3), alg=(38, 5), vsock=(40, 1), raw=(2, 3, 1), bluetooth=(31, 3),
                            tcp=(2, 1, 6), udp=(2, 2, 17), multipath=(2, 1, 262), udplite=(2, 2, 136)).items():
    seen[name] = family(*arguments)
print(json.dumps(seen))
"""
    outcome = await bed.python(script, json.dumps(CALLS))
    errors = json.loads(outcome.out)
    assert errors.pop("inet6") == ("ok" if Path("/proc/net/if_inet6").exists() else "EAFNOSUPPORT")
    assert errors == {
        **dict.fromkeys(
            ("keyctl", "bpf", "userfaultfd", "perf_event_open", "ptrace", "io_uring_setup"), "EPERM"
        ),
        **dict.fromkeys(
            ("clone_newuser", "unshare_fs", "setns", "mount", "chroot", "fsopen", "raw"), "EPERM"
        ),
        **dict.fromkeys(("TIOCSTI", "TIOCSTI_high", "TIOCLINUX"), "EPERM"),
        **dict.fromkeys(("clone3", "open_tree_attr", "io_setup"), "ENOSYS"),
        **dict.fromkeys(("unix", "inet", "route", "tcp", "udp"), "ok"),
        **dict.fromkeys(("multipath", "udplite"), "EPROTONOSUPPORT"),
        **dict.fromkeys(("audit", "packet", "alg", "vsock", "bluetooth"), "EAFNOSUPPORT"),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount terminals of another number")
async def test_one_sandbox_cannot_use_all_terminals_of_the_host(bed: Bed) -> None:
    script = """
import os, pty
held = []
try:
    while len(held) < 200: held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError as e: print(len(held), e.strerror)
while held: os.close(held.pop())
master, slave = pty.openpty()
os.write(slave, b"said")
print(os.ttyname(slave), os.read(master, 9), os.fstat(slave).st_uid)
"""
    outcome = await bed.python(script)
    assert outcome.out == "128 No space left on device\n/dev/pts/0 b'said' 1000\n"


async def test_the_only_network_interface_is_its_own_loopback(bed: Bed) -> None:
    abstract = f"\0agentcontainer-{secrets.token_hex(4)}"
    script = """
import errno, socket, sys
print([name for _, name in socket.if_nameindex()])
port, abstract = int(sys.argv[1]), "\\0" + sys.argv[2]
for target in (("127.0.0.1", port), (sys.argv[3], port), ("1.1.1.1", 53), ("169.254.169.254", 80)):
    s = socket.socket(); s.settimeout(2)
    print(errno.errorcode[s.connect_ex(target)])
print(errno.errorcode[socket.socket(socket.AF_UNIX).connect_ex(abstract)])
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname()).close()
print("own loopback works")
"""
    with socket.create_server(("0.0.0.0", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(abstract)
        unix.listen()
        outcome = await bed.python(script, str(tcp.getsockname()[1]), abstract[1:], _own_address())
    assert outcome.out.splitlines() == [
        *("['lo']", "ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED"),
        "own loopback works",
    ]


async def test_two_sandboxes_do_not_see_each_other(bed: Bed) -> None:
    first, second = bed.spec(), bed.spec()
    (first.workspace / "mine").write_text("secret of the first")
    sandbox = await bed.start(
        ["sh", "-c", "touch /workspace/a /tmp/a /dev/shm/a; echo up; sleep 1000"], first
    )
    assert await sandbox.stdout.readline() == b"up\n"
    command = "touch /workspace/b; find /workspace /tmp /dev/shm /run /opt -type f; echo /proc/[0-9]*"
    outcome = await bed.run("sh", "-c", command, spec=second)
    assert outcome.out == "/workspace/b\n/proc/1 /proc/2\n"  # bwrap and sh
    owners = (first.workspace / "a").stat().st_uid, (second.workspace / "b").stat().st_uid
    assert 0 not in owners
    if os.geteuid() == 0:
        assert owners[0] == sandbox.host_uid
        assert owners[0] != owners[1]


async def test_core_dumps_are_off_and_files_are_counted(bed: Bed) -> None:
    outcome = await bed.run("sh", "-c", "ulimit -c; ulimit -H -c; ulimit -n; ulimit -H -n")
    assert outcome.out.split() == ["0", "0", "4096", "4096"]


async def test_handing_over_the_workspace_follows_no_link(bed: Bed) -> None:
    target, folder = bed.folder / "target", bed.folder / "folder"
    target.write_text("ours")
    folder.mkdir()
    (folder / "below").write_text("ours")
    spec = bed.spec()
    (spec.workspace / "link").symlink_to(target)
    (spec.workspace / "links").symlink_to(folder)
    (spec.workspace / "dangling").symlink_to("/nonexistent")
    deep = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\nopen('bottom', 'w').close()"
    subprocess.run(["/usr/bin/python3", "-c", deep], cwd=spec.workspace, check=True)
    command = "cat link links/below; rm link links dangling; find . -name bottom -user agent | wc -l"
    outcome = await bed.run("sh", "-c", command, spec=spec)
    assert outcome.out == "1\n"
    assert {path.stat().st_uid for path in (target, folder, folder / "below")} == {os.geteuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts anything beforehand")
async def test_a_data_folder_below_mnt_is_not_hidden_by_what_is_mounted_there(bed: Bed) -> None:
    with tempfile.TemporaryDirectory(prefix="ac-bed-", dir="/mnt") as folder:
        spec = bed.spec(root=Path(folder), runtime=Path(folder) / "runtime")
        for path in (spec.workspace, spec.sockets, spec.runtime):
            path.mkdir()
        (spec.runtime / "there").touch()
        outcome = await bed.run("sh", "-c", "echo yes > file; ls /opt/agentcontainer", spec=spec)
        assert outcome.out == "there\n"
        assert (spec.workspace / "file").read_text() == "yes\n"


async def test_killing_everything_inside_ends_only_the_sandbox(bed: Bed) -> None:
    outside = await asyncio.create_subprocess_exec("sleep", "1000")
    outcome = await bed.run("sh", "-c", "kill -9 -1; kill -9 1; echo still here")
    assert outcome.out == "still here\n"
    assert outside.returncode is None
    outside.kill()
    await outside.wait()


def _own_address() -> str:
    """An address of this host other than loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "192.0.2.1"
        return str(probe.getsockname()[0])


def test_the_probes_have_a_python() -> None:
    assert Path("/usr/bin/python3").exists(), "the probes run /usr/bin/python3 inside: apt install python3"
