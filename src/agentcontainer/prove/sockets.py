"""Attempts to use sockets of the host or of another task, and rarely used socket families."""

from collections.abc import Sequence

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, namespaced, sandboxed, weakened
from agentcontainer.prove.targets import abstract_socket, nonce_only, socket_file
from agentcontainer.prove.trial import Trial
from agentcontainer.prove.weakened import without_filter

_FAMILIES = {
    "netlink-events": ("Receives the host's device events.", 16, 3, 15),
    "netlink-audit": ("Connects to the kernel's audit system.", 16, 3, 9),
    "netlink-generic": ("Connects to drivers' generic netlink interfaces.", 16, 3, 16),
    "netlink-filter": ("Connects to the host's packet filter.", 16, 3, 12),
}
_OPEN = "socket(my $s, %d, %d, %d) and print $ARGV[0];"


def _socket(name: str, tries: str, family: tuple[int, int, int], control: Place) -> Attempt:
    return Attempt(name, tries, perl(_OPEN % family), nonce_only, sandboxed, control)


async def _nonce_and_name(trial: Trial) -> Sequence[str]:
    return [trial.nonce, *await abstract_socket(trial)]


async def _own_gateway(trial: Trial) -> Sequence[str]:
    (trial.root / "sockets/gateway.sock").touch()
    return [trial.nonce, trial.path("/run/agentcontainer/gateway.sock", trial.root / "sockets/gateway.sock")]


SOCKETS = Group(
    "sockets",
    (
        Attempt(
            "abstract",
            "Connects to an abstract Unix socket of the host.",
            perl('print unix("\\0$ARGV[0]");'),
            abstract_socket,
            sandboxed,
            bare,
        ),
        Attempt(
            "another-tasks",
            "Connects to another task's gateway, whose path it knows.",
            perl(
                "print unix($ARGV[0]); my ($folder) = $ARGV[0] =~ m|(.*)/|; chdir $folder; print unix('gateway.sock');"
            ),
            socket_file,
            sandboxed,
            bare,
        ),
        Attempt(
            "linked",
            "Connects to another task's gateway through a link in its workspace.",
            perl('symlink $ARGV[0], "s"; print unix("s");'),
            socket_file,
            sandboxed,
            bare,
        ),
        Attempt(
            "names",
            "Reads which sockets the host has open.",
            perl("print $ARGV[0] if slurp('/proc/net/unix') =~ /\\Q$ARGV[1]\\E/;"),
            _nonce_and_name,
            sandboxed,
            bare,
        ),
        Attempt(
            "take-the-place",
            "Replaces its gateway's socket by its own.",
            perl('rename $ARGV[1], "$ARGV[1].old" and print $ARGV[0];'),
            _own_gateway,
            sandboxed,
            bare,
        ),
        *(
            _socket(name, tries, (family, kind, protocol), weakened(without_filter))
            for name, (tries, family, kind, protocol) in _FAMILIES.items()
        ),
        _socket("packets", "Opens a packet socket.", (17, 3, 768), namespaced("net")),
        _socket("raw", "Opens a raw IP socket.", (2, 3, 1), namespaced("net")),
        _socket("hypervisor", "Connects to the host's hypervisor.", (40, 1, 0), weakened(without_filter)),
    ),
)
