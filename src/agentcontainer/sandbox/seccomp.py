"""The system call filter of every sandbox.

It refuses calls that agents do not need and that kernel exploits have used. It is the second line of defence.
The first: the payload has no capabilities and cannot make a user namespace.
"""

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from agentcontainer.errors import SandboxError

REFUSED = (
    # mounts and roots
    *("mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick"),
    # namespaces (clone: see NAMESPACE_FLAGS)
    *("unshare", "setns"),
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    # kernel machinery open to ordinary users
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "fanotify_init", "modify_ldt", "lookup_dcookie"),
    # the machine
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "syslog"),
    *("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "iopl", "ioperm", "vhangup", "nfsservctl"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    # files by handle: opens files outside of the mounted tree
    *("open_by_handle_at", "name_to_handle_at"),
)
NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
TERMINAL_INJECTIONS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: put input into a shared terminal
AF_NETLINK = 16
SOCKET_FAMILIES = (1, 2, 10, AF_NETLINK)  # UNIX, INET, INET6, NETLINK
NETLINK_ROUTE = 0  # getifaddrs needs it
INTERNET_FAMILIES = (2, 10)
PROTOCOLS = (0, 1, 6, 17, 58)  # of these families: the default of the type, ICMP, TCP, UDP, ICMPv6
UNKNOWN_CALLS = range(451, 512)  # unknown to libseccomp: with ENOSYS, programs fall back to an older call
FCHMODAT2 = 452  # the one of those that is harmless and needed


class Condition(NamedTuple):
    """A comparison of an argument of a call; `comparison` is a name of libseccomp."""

    argument: int
    comparison: str
    value: int
    masked_value: int = 0


class Rule(NamedTuple):
    """A call that fails with `error` if every condition holds."""

    call: str | int
    error: int
    conditions: tuple[Condition, ...] = ()


def rules() -> Iterator[Rule]:
    """All rules of the filter. A call that no rule matches is allowed."""
    for call in REFUSED:
        yield Rule(call, errno.EPERM)
    for number in UNKNOWN_CALLS:
        if number != FCHMODAT2:
            yield Rule(number, errno.ENOSYS)
    yield Rule("clone3", errno.ENOSYS)  # its flags are in memory, which a filter cannot read
    yield Rule(
        "io_setup", errno.ENOSYS
    )  # the limit of AIO queues is one for the host, and no control group counts them
    for flag in NAMESPACE_FLAGS:
        yield Rule("clone", errno.EPERM, (Condition(0, "MASKED_EQ", flag, flag),))
    for request in TERMINAL_INJECTIONS:
        yield Rule("ioctl", errno.EPERM, (Condition(1, "MASKED_EQ", 0xFFFFFFFF, request),))
    for call in ("socket", "socketpair"):
        for condition in _other_than(SOCKET_FAMILIES, argument=0):
            yield Rule(call, errno.EAFNOSUPPORT, (condition,))
        other_netlink = (Condition(0, "EQ", AF_NETLINK), Condition(2, "NE", NETLINK_ROUTE))
        yield Rule(call, errno.EAFNOSUPPORT, other_netlink)
    for family in INTERNET_FAMILIES:
        for condition in _other_than(PROTOCOLS, argument=2):
            yield Rule("socket", errno.EPROTONOSUPPORT, (Condition(0, "EQ", family), condition))


def _other_than(allowed: tuple[int, ...], argument: int) -> Iterator[Condition]:
    """Conditions: exactly one of them holds for each value that is not allowed."""
    for value in range(max(allowed)):
        if value not in allowed:
            yield Condition(argument, "EQ", value)
    yield Condition(argument, "GT", max(allowed))


def compile_filter() -> bytes:
    """The filter as a BPF program for bwrap. A call of another architecture (32 bit) kills the calling
    thread.

    Raises:
        SandboxError: libseccomp is missing, or too old to know a call that we refuse.
    """
    try:
        import pyseccomp  # imported here: at import it runs programs to find the library
    except (ImportError, RuntimeError, OSError) as error:
        raise SandboxError("libseccomp is missing. Install it: apt install libseccomp2") from error

    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for rule in rules():
        call = (
            rule.call
            if isinstance(rule.call, int)
            else pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, rule.call)
        )
        if call == -1:
            raise SandboxError(f"libseccomp is too old: it does not know the system call {rule.call}.")
        conditions = [
            pyseccomp.Arg(
                condition.argument,
                getattr(pyseccomp, condition.comparison),
                condition.value,
                condition.masked_value,
            )
            for condition in rule.conditions
        ]
        program.add_rule(pyseccomp.ERRNO(rule.error), call, *conditions)
    with open(os.memfd_create("seccomp"), "w+b") as file:  # noqa: PTH123 - a descriptor, not a path
        program.export_bpf(file)
        file.seek(0)
        return file.read()
