"""Attempts to use risky parts of the kernel and settings of the whole machine.

Controls run without the system call filter, as root of a namespace, or on the host.
"""

import platform

from agentcontainer.prove.attempt import Attempt, Group
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, namespaced, sandboxed, weakened
from agentcontainer.prove.targets import nonce_only
from agentcontainer.prove.weakened import without_filter

_SAY = "and print $ARGV[0];"


def _unfiltered(name: str, tries: str, script: str) -> Attempt:
    return Attempt(name, tries, perl(script), nonce_only, sandboxed, weakened(without_filter))


def _as_root_of(*kinds: str, name: str, tries: str, script: str) -> Attempt:
    return Attempt(name, tries, perl(script), nonce_only, sandboxed, namespaced(*kinds))


def _as_host_root(name: str, tries: str, script: str) -> Attempt:
    return Attempt(name, tries, perl(script), nonce_only, sandboxed, bare, is_for_root=True)


# An ELF program that makes a 32-bit system call (int 0x80) and prints its argument if the call succeeds.
_INT_80 = "b814000000cd8085c07e17488b742410ba20000000bf01000000b8010000000f0531ffb83c0000000f05"  # getpid, write, exit
_OTHER_TABLE = f"""
my $code = pack "H*", "{_INT_80}";
my $head = "\\x7fELF\\x02\\x01\\x01" . "\\0" x 9 . pack "SSLQQQLSSSSSS",
    2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0;
my $size = 120 + length $code;
open(my $f, ">", "program"); print $f $head, pack("LLQQQQQQ", 1, 5, 0, 0x400000, 0x400000, $size, $size, 4096), $code;
close $f; chmod 0755, "program"; system("./program", $ARGV[0]);
"""
_FOR_X86 = (
    _unfiltered(
        "other-table",
        "Makes 32-bit system calls, which a filter for 64-bit calls does not see.",
        _OTHER_TABLE,
    ),
    _unfiltered(
        "segments",
        "Reads its local descriptor table, a rarely used part of the kernel.",
        f"my $buffer = 'x' x 64; syscall($call{{modify_ldt}}, 0, $buffer, 64) >= 0 {_SAY}",
    ),
)

KERNEL = Group(
    "kernel",
    (
        _unfiltered(
            "keyrings", "Opens a keyring of the kernel.", f"syscall($call{{keyctl}}, 0, -2, 1) > 0 {_SAY}"
        ),
        _unfiltered(
            "keys",
            "Stores a key in the kernel, where it outlives a process.",
            f"my @text = ('user', 'name', 'x'); syscall($call{{add_key}}, @text, 1, -2) > 0 {_SAY}",
        ),
        _unfiltered(
            "io-uring",
            "Makes the kernel perform system calls that the filter does not see.",
            f'my $buffer = "\\0" x 120; syscall($call{{io_uring_setup}}, 4, $buffer) >= 0 {_SAY}',
        ),
        _unfiltered(
            "queues",
            "Uses up asynchronous I/O queues, which all processes of the host share.",
            f'my $queue = "\\0" x 8; syscall($call{{io_setup}}, 1, $queue) >= 0 {_SAY}',
        ),
        _unfiltered(
            "page-faults",
            "Stops the kernel in the middle of a copy by handling page faults.",
            f"syscall($call{{userfaultfd}}, 1) >= 0 {_SAY}",
        ),
        _unfiltered(
            "file-handles",
            "Opens files by handles, which bypass folders.",
            'my ($handle, $mount) = (pack(\'Ll\', 128, 0) . "\\0" x 128, "\\0" x 8);'
            "for ('/workspace', '/tmp', '/usr') { my $path = $_;"
            "syscall($call{name_to_handle_at}, -100, $path, $handle, $mount, 0) >= 0 and print $ARGV[0]; }",
        ),
        _unfiltered(
            "watch-files",
            "Watches file accesses of all processes.",
            f"syscall($call{{fanotify_init}}, 0x200, 0) >= 0 {_SAY}",
        ),
        _unfiltered(
            "steer-clock",
            "Adjusts the host's clock.",
            f'my $buffer = "\\0" x 512; syscall($call{{adjtimex}}, $buffer) >= 0 {_SAY}',
        ),
        _as_root_of(
            "mount",
            name="mount",
            tries="Mounts a file system.",
            script=(
                f"my @text = ('none', '/tmp', 'tmpfs', '');"
                f"syscall($call{{mount}}, @text[0 .. 2], 0, $text[3]) == 0 {_SAY}"
            ),
        ),
        _as_root_of(
            "mount",
            name="bind",
            tries="Bind-mounts /usr where it is writable.",
            script=(
                f"my @text = ('/usr', '/tmp', '', '');"
                f"syscall($call{{mount}}, @text[0 .. 2], 4096, $text[3]) == 0 {_SAY}"
            ),
        ),
        _as_root_of(
            "mount",
            name="new-mounts",
            tries="Mounts a file system by the newer system calls.",
            script=(f"my $kind = 'tmpfs'; syscall($call{{fsopen}}, $kind, 0) >= 0 {_SAY}"),
        ),
        _as_root_of(
            "mount",
            name="copy-tree",
            tries="Copies the mount tree.",
            script=(f"my $path = '/usr'; syscall($call{{open_tree}}, -100, $path, 1) >= 0 {_SAY}"),
        ),
        _as_root_of(
            "mount",
            name="change-root",
            tries="Changes its root folder, to leave it through an open folder.",
            script=(f"my $path = '/tmp'; syscall($call{{chroot}}, $path) == 0 {_SAY}"),
        ),
        _as_root_of(
            "uts",
            name="rename-host",
            tries="Gives the host another name.",
            script=(f"my $name = 'x'; syscall($call{{sethostname}}, $name, 1) == 0 {_SAY}"),
        ),
        _as_root_of(
            "net",
            name="settings",
            tries="Changes a setting of the kernel.",
            script=(
                f"my $f; open($f, '>', '/proc/sys/net/ipv4/ip_forward') && print $f '1' and close $f {_SAY}"
            ),
        ),
        _as_host_root(
            "core-pattern",
            "Opens the setting that names a program which the kernel runs as root.",
            f"open(my $f, '+<', '/proc/sys/kernel/core_pattern') {_SAY}",
        ),
        _as_host_root(
            "caches",
            "Opens the switch that empties the host's caches.",
            f"open(my $f, '>', '/proc/sys/vm/drop_caches') {_SAY}",
        ),
        _as_host_root(
            "programs",
            "Loads a BPF map into the kernel.",
            f"my $ask = pack 'LLLL', 2, 4, 4, 1; $ask .= \"\\0\" x 112;"
            f"syscall($call{{bpf}}, 0, $ask, 128) >= 0 {_SAY}",
        ),
        _as_host_root(
            "counters",
            "Reads the processor's performance counters.",
            "my $ask = pack('LLQ', 1, 112, 0) . \"\\0\" x 96;"
            f"syscall($call{{perf_event_open}}, $ask, 0, -1, -1, 0) >= 0 {_SAY}",
        ),
        _as_host_root(
            "modules",
            "Loads a module into the kernel.",
            f"my $none = ''; syscall($call{{finit_module}}, -1, $none, 0); !$!{{EPERM}} {_SAY}",
        ),
        _as_host_root(
            "messages", "Reads the kernel's messages.", f"syscall($call{{syslog}}, 10, 0, 0) >= 0 {_SAY}"
        ),
        _as_host_root(
            "set-clock", "Sets the host's clock.", f"syscall($call{{settimeofday}}, 0, 0) == 0 {_SAY}"
        ),
        *(_FOR_X86 if platform.machine() == "x86_64" else ()),
    ),
)
