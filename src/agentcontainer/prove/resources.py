"""Attempts to use more of the host's memory, processors, disk and kernel tables than a sandbox may."""

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import Payload, perl, shell
from agentcontainer.prove.places import bare, limited, on_a_disk_of_its_own, sandboxed, weakened
from agentcontainer.prove.targets import nonce_only, reachable
from agentcontainer.prove.weakened import without
from agentcontainer.sandbox.contract import INSIDE_OUTPUT

_MIB = 1024**2
_SMALL = limited(memory_bytes=64 * _MIB, tmp_bytes=512 * _MIB)
_BEYOND = 144 * _MIB
_SLOW = limited(cpus=0.02)


def _fill(size: int) -> Payload:
    """Writes `size` bytes to a file, and prints the nonce if there was space."""
    return perl(
        f"open(my $f, '>', $ARGV[1]) or exit; my $chunk = 'x' x {_MIB}; my $left = {size // _MIB};"
        f"while ($left--) {{ (syswrite($f, $chunk) // 0) == {_MIB} or exit }} close $f and print $ARGV[0];"
    )


def _folder(
    name: str, tries: str, size: int, path: str, attack: Place, controller: str | None = None
) -> Attempt:
    prepare = reachable(path, "outside/fill")
    return Attempt(name, tries, _fill(size), prepare, attack, bare, controller=controller)


RESOURCES = Group(
    "resources",
    (
        Attempt(
            "fork-bomb",
            "Starts an unlimited number of processes.",
            perl(
                "my @pids; for (1 .. 128) { my $pid = fork // last; unless ($pid) { nap 20; exit } push @pids, $pid }"
                "kill 'KILL', @pids; print $ARGV[0] if @pids == 128;"
            ),
            nonce_only,
            sandboxed,
            bare,
        ),
        Attempt(
            "memory",
            "Allocates an unlimited amount of memory.",
            perl(f"my $size = $ARGV[1] // {_BEYOND}; my $memory = 'x' x $size; print $ARGV[0];"),
            nonce_only,
            _SMALL,
            bare,
            controller="memory",
        ),
        Attempt(
            "memory-file",
            "Allocates memory by an anonymous memory file.",
            perl(
                f"my $name = 'm'; my $f = syscall($call{{memfd_create}}, $name, 0); open(my $to, '>&=', $f) or exit;"
                f"my $chunk = 'x' x {_MIB}; for (1 .. {_BEYOND // _MIB}) {{ syswrite($to, $chunk) == {_MIB} or exit }}"
                "print $ARGV[0];"
            ),
            nonce_only,
            _SMALL,
            bare,
            controller="memory",
        ),
        _folder("memory-tmp", "Allocates memory by files in /tmp.", _BEYOND, "/tmp/fill", _SMALL, "memory"),  # noqa: S108
        _folder("tmp", "Fills /tmp beyond its size.", 16 * _MIB, "/tmp/fill", sandboxed),  # noqa: S108
        _folder(
            "command-output",
            "Fills the folder of commands' outputs beyond its size.",
            16 * _MIB,
            f"{INSIDE_OUTPUT}/fill",
            sandboxed,
        ),
        _folder("shm", "Fills /dev/shm beyond its size.", 16 * _MIB, "/dev/shm/fill", sandboxed),  # noqa: S108
        Attempt(
            "disk",
            "Fills the host's disk by files in its workspace.",
            _fill(32 * _MIB),
            reachable("/workspace/fill", "outside/fill"),
            on_a_disk_of_its_own,
            bare,
            controller="disk",
        ),
        Attempt(
            "inodes",
            "Uses up the host's inodes by empty files in its workspace.",
            perl("for (1 .. 1000) { open(my $f, '>', \"$ARGV[1]-$_\") or exit } print $ARGV[0];"),
            reachable("/workspace/many", "outside/many"),
            on_a_disk_of_its_own,
            bare,
            controller="disk",
        ),
        Attempt(
            "open-files",
            "Opens an unlimited number of files.",
            perl(
                "my @f; for (1 .. 400) { open(my $f, '<', '/dev/null') or last; push @f, $f }"
                "print $ARGV[0] if @f == 400;"
            ),
            nonce_only,
            sandboxed,
            bare,
        ),
        Attempt(
            "terminals",
            "Opens more terminals than its share of the host's.",
            perl(
                "my @held; for (1 .. 200) { open(my $f, '+<', '/dev/ptmx') or last; push @held, $f }"
                "print $ARGV[0] if @held == 200;"
            ),
            nonce_only,
            sandboxed,
            weakened(without("--dev-bind", "/mnt/pts", "/dev/pts")),
            is_for_root=True,
        ),
        Attempt(
            "core-dumps",
            "Makes the host write core dumps.",
            shell('ulimit -c 1 && [ "$(ulimit -c)" = 1 ] && echo "$1"'),
            nonce_only,
            sandboxed,
            bare,
        ),
        Attempt(
            "processors",
            "Uses more processor time than its limit.",
            perl(
                "my $end = (POSIX::times())[0] + 500; while ((POSIX::times())[0] < $end) {"
                "my ($user, $system) = times; if ($user + $system > 0.3) { print $ARGV[0]; last } }"
            ),
            nonce_only,
            _SLOW,
            bare,
            controller="cpu",
        ),
    ),
)
