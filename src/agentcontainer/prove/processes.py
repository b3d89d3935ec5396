"""Attempts to affect processes of the host, and to do to its own what the filter forbids."""

import asyncio
from collections.abc import Sequence

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import Payload, perl
from agentcontainer.prove.places import bare, namespaced, sandboxed, weakened
from agentcontainer.prove.targets import is_dead, named_process, nonce_only, nothing, process
from agentcontainer.prove.trial import Trial
from agentcontainer.prove.weakened import without_filter

LATER_SECONDS = 1.5


def _ends_all(trial: Trial, output: str) -> bool:
    return trial.nonce in output if trial.is_control else is_dead(trial, output)


async def _nonce_and_pid(trial: Trial) -> list[str]:
    return [trial.nonce, *await process(trial)]


def _and_later(place: Place) -> Place:
    """Look for traces of the payload some time after it ended."""

    async def later(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        await place(trial, payload, arguments)
        await asyncio.sleep(LATER_SECONDS)
        return trial.nonce if (trial.workspace / "alive").exists() else ""

    return later


def _calls(name: str, tries: str, script: str) -> Attempt:
    return Attempt(name, tries, perl(script), nonce_only, sandboxed, weakened(without_filter))


PROCESSES = Group(
    "processes",
    (
        Attempt(
            "list",
            "Reads the command lines of the host's processes.",
            perl("print map { slurp $_ } glob '/proc/[0-9]*/cmdline';"),
            named_process,
            sandboxed,
            bare,
        ),
        Attempt(
            "environment",
            "Reads the environments of the host's processes.",
            perl("print map { slurp $_ } glob '/proc/[0-9]*/environ';"),
            named_process,
            sandboxed,
            bare,
        ),
        Attempt(
            "kill",
            "Kills a process of the host by its number.",
            perl("kill 'KILL', $ARGV[0]; nap 0.3;"),
            process,
            sandboxed,
            bare,
            is_dead,
        ),
        Attempt(
            "kill-group",
            "Kills the group of a process of the host.",
            perl("kill '-KILL', $ARGV[0]; nap 0.3;"),
            process,
            sandboxed,
            bare,
            is_dead,
        ),
        Attempt(
            "kill-all",
            "Kills every process that it can.",
            perl(
                "my $child = fork // die; unless ($child) { sleep 30; exit } nap 0.2; kill 'KILL', -1; nap 0.3;"
                "print $ARGV[0] if waitpid($child, 1) == $child;"
            ),
            _nonce_and_pid,
            sandboxed,
            namespaced("pid"),
            _ends_all,
        ),
        Attempt(
            "slow-down",
            "Lowers the priority of a process of the host.",
            perl("setpriority(0, $ARGV[1], 19) and getpriority(0, $ARGV[1]) == 19 and print $ARGV[0];"),
            _nonce_and_pid,
            sandboxed,
            bare,
        ),
        _calls(
            "trace",
            "Traces another process, to change what it does.",
            "syscall($call{ptrace}, 0, 0, 0, 0) == 0 and print $ARGV[0];",
        ),
        _calls(
            "memory-of-another",
            "Reads another process's memory by system call.",
            'my $from = "x" x 8; my $to = "y" x 8; my ($f, $t) = map { unpack "Q", pack "P", $_ } $from, $to;'
            'my ($l, $r) = (pack("QQ", $t, 8), pack("QQ", $f, 8));'
            "syscall($call{process_vm_readv}, $$ + 0, $l, 1, $r, 1, 0) == 8 and print $ARGV[0];",
        ),
        _calls(
            "files-of-another",
            "Takes an open file from another process.",
            "my $own = syscall($call{pidfd_open}, $$ + 0, 0); $own >= 0 or exit;"
            "syscall($call{pidfd_getfd}, $own, 1, 0) >= 0 and print $ARGV[0];",
        ),
        _calls(
            "compare",
            "Compares kernel objects of processes, to find where they lie.",
            "syscall($call{kcmp}, $$ + 0, $$ + 0, 0, 0, 0) >= 0 and print $ARGV[0];",
        ),
        Attempt(
            "first-to-run",
            "Raises its own priority above that of other processes.",
            perl("setpriority(0, 0, -5); print $ARGV[0] if getpriority(0, 0) == -5;"),
            nonce_only,
            sandboxed,
            bare,
            is_for_root=True,
        ),
        Attempt(
            "outlive",
            "Leaves a process that continues after its sandbox has ended.",
            perl(
                "unless (fork) { POSIX::setsid(); unless (fork) { close STDOUT; close STDERR; nap 0.6;"
                'open(my $f, ">", "alive"); print $f "x"; close $f } exit } wait;'
            ),
            nothing,
            _and_later(sandboxed),
            _and_later(bare),
        ),
    ),
)
