"""Attempts to create or enter namespaces, and to use capabilities."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, namespaced, sandboxed
from agentcontainer.prove.targets import nonce_only
from agentcontainer.prove.trial import Trial

_NEW_USER = 0x10000000
_KINDS = {
    "user": (0, "to be root in it"),
    "mount": (0x00020000, "to mount what it likes"),
    "net": (0x40000000, "to reach the kernel's network code as root"),
    "pid": (0x20000000, "to hide processes"),
    "ipc": (0x08000000, "to reach the kernel's message queues as root"),
    "uts": (0x04000000, "to name the host"),
    "cgroup": (0x02000000, "to leave its limits"),
}
_OURS = {
    "mnt": "files", "pid": "processes", "net": "network", "ipc": "message queues", "uts": "name", "cgroup": "limits",
    "user": "accounts",
}  # fmt: skip


def _attempt(name: str, tries: str, script: str, control: Place) -> Attempt:
    return Attempt(name, tries, perl(script), nonce_only, sandboxed, control)


def _unshare(kind: str) -> Attempt:
    flag, why = _KINDS[kind]
    script = f"syscall($call{{unshare}}, {_NEW_USER | flag}) == 0 and print $ARGV[0];"
    return _attempt(f"new-{kind}", f"Makes a {kind} namespace, {why}.", script, bare)


async def _namespace_of_host(kind: str, trial: Trial) -> Sequence[str]:
    return [trial.nonce, f"/proc/self/ns/{kind}", str(Path(f"/proc/self/ns/{kind}").readlink())]


def _shared(kind: str, what: str) -> Attempt:
    script = perl("print $ARGV[0] if readlink($ARGV[1]) eq $ARGV[2];")
    prepare = partial(_namespace_of_host, kind)
    return Attempt(f"host-{kind}", f"Finds itself among the host's {what}.", script, prepare, sandboxed, bare)


def _owner(trial: Trial, output: str) -> bool:
    """Whether the file that it created belongs to root on the host."""
    return trial.nonce in output and (trial.workspace / "made").stat().st_uid == 0


NAMESPACES = Group(
    "namespaces",
    (
        *(_unshare(kind) for kind in _KINDS),
        _attempt(
            "clone",
            "Starts a process in a new user namespace.",
            f"my $pid = syscall($call{{clone}}, {_NEW_USER | 17}, 0, 0, 0, 0);"
            "syscall($call{exit}, 0) if $pid == 0; $pid > 0 and print $ARGV[0];",
            bare,
        ),
        _attempt(
            "clone3",
            "Starts it by clone3, whose flags a filter cannot read.",
            f"my $how = pack('QQQQQQQQ', {_NEW_USER}, 0, 0, 0, 17, 0, 0, 0);"
            "my $pid = syscall($call{clone3}, $how, 64); syscall($call{exit}, 0) if $pid == 0;"
            "$pid > 0 and print $ARGV[0];",
            bare,
        ),
        _attempt(
            "enter",
            "Enters a namespace by its file descriptor.",
            "open(my $f, '<', '/proc/self/ns/uts') or exit;"
            "syscall($call{setns}, fileno $f, 0) == 0 and print $ARGV[0];",
            namespaced("uts"),
        ),
        *(_shared(kind, what) for kind, what in _OURS.items()),
        _attempt(
            "capabilities",
            "Finds a capability that was not dropped.",
            "print $ARGV[0] if slurp('/proc/self/status') =~ /^Cap(Prm|Eff|Bnd|Amb|Inh):\\t0*[1-9a-f]/m;",
            namespaced(),
        ),
        _attempt(
            "privileges",
            "Gains rights by running a setuid program.",
            "print $ARGV[0] if slurp('/proc/self/status') =~ /^NoNewPrivs:\\t0/m;",
            bare,
        ),
        _attempt(
            "become-root",
            "Becomes root.",
            "$> = 0; $< = 0; POSIX::setuid(0); print $ARGV[0] if $> == 0;",
            namespaced(),
        ),
        Attempt(
            "root-to-the-host",
            "Runs as root on the host, regardless of the user inside.",
            perl("my $f; open($f, '>', '/workspace/made') || open($f, '>', 'made'); print $ARGV[0];"),
            nonce_only,
            sandboxed,
            bare,
            _owner,
            is_for_root=True,
        ),
    ),
)
