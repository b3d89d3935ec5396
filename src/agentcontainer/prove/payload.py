"""Builds payloads: scripts for perl and sh, which every Debian system has, that try to escape from a sandbox."""

import json
import platform
from dataclasses import dataclass

BEGUN = "trying"  # printed first by every payload; one that did not start has not been blocked

_COMMON = {
    "openat2": 437, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438, "clone3": 435, "open_tree": 428,
    "fsopen": 430,
}  # fmt: skip
_CALLS = {
    "x86_64": {
        "keyctl": 250, "add_key": 248, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298, "ptrace": 101,
        "clone": 56, "unshare": 272, "setns": 308, "mount": 165, "chroot": 161, "process_vm_readv": 310, "kcmp": 312,
        "name_to_handle_at": 303, "fanotify_init": 300, "adjtimex": 159, "settimeofday": 164, "syslog": 103,
        "finit_module": 313, "sethostname": 170, "memfd_create": 319, "modify_ldt": 154,
        "getpid": 39, "exit": 60, "io_setup": 206,
    },
    "aarch64": {
        "keyctl": 219, "add_key": 217, "bpf": 280, "userfaultfd": 282, "perf_event_open": 241, "ptrace": 117,
        "clone": 220, "unshare": 97, "setns": 268, "mount": 40, "chroot": 51, "process_vm_readv": 270, "kcmp": 272,
        "name_to_handle_at": 264, "fanotify_init": 262, "adjtimex": 171, "settimeofday": 170, "syslog": 116,
        "finit_module": 273, "sethostname": 161, "memfd_create": 279, "getpid": 172,
        "exit": 93, "io_setup": 0,
    },
}  # fmt: skip

_BEGIN = f"""
use strict; use Socket; use Fcntl; use POSIX ();
$| = 1; $SIG{{PIPE}} = "IGNORE";
my %call = @CALLS@;
sub slurp {{ open(my $file, "<", $_[0]) or return ""; local $/; my $text = <$file>; defined $text ? $text : "" }}
sub nap {{ select(undef, undef, undef, $_[0]) }}
# Sends to a connected socket, then reads until its end, or until nothing arrives for 5 s.
sub talk {{
    my ($socket, $text) = @_;
    syswrite($socket, $text) if length $text;
    my $got = "";
    while (length $got < 65536) {{
        my $ready = ""; vec($ready, fileno $socket, 1) = 1;
        last unless select($ready, undef, undef, 5);
        last unless sysread($socket, $got, 65536, length $got);
    }}
    return $got;
}}
sub tcp {{
    my ($host, $port, $text) = @_;
    socket(my $socket, AF_INET, SOCK_STREAM, 0) or return "";
    my $address = inet_aton($host) or return "";
    connect($socket, sockaddr_in($port, $address)) or return "";
    return talk($socket, $text);
}}
sub unix {{
    my ($path, $text) = @_;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or return "";
    connect($socket, sockaddr_un($path)) or return "";
    return talk($socket, $text);
}}
sub post {{
    my ($path, $body, @headers) = @_;
    my $head = join "", map {{ "$_\\r\\n" }} "POST $path HTTP/1.1", "Host: sandbox", "Content-Type: application/json",
        "Connection: close", (grep {{ /^content-length|^transfer-enc/i }} @headers) ? () : "Content-Length: "
        . length($body), @headers;
    return "$head\\r\\n$body";
}}
my ($gateway, $control) = map {{ "/run/agentcontainer/$_.sock" }} "gateway", "control";
sub begin {{ print "{BEGUN}\\n" }}
"""


@dataclass(frozen=True)
class Payload:
    """A program with its script, to which arguments are appended."""

    argv: tuple[str, ...]


def perl(script: str, begins: bool = True) -> Payload:
    """A perl script, which can use `%call` (system call numbers), `slurp`, `tcp`, `unix`, `post` and `nap`.

    With `begins` false the script calls `begin` itself, once it has checked that the attempt is possible.
    """
    calls = json.dumps(_COMMON | _CALLS.get(platform.machine(), {})).replace(":", " =>")
    calls = "(" + calls.strip("{}") + ")"
    return Payload(("/usr/bin/perl", "-e", _BEGIN.replace("@CALLS@", calls) + "begin;\n" * begins + script))


def shell(script: str) -> Payload:
    """A POSIX sh script; its arguments are $1 and following."""
    return Payload(("/bin/sh", "-c", f"echo {BEGUN}\n{script}", "sh"))
