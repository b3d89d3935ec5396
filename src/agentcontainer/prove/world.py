"""Makes the test network of the attempts at internet access: a network namespace in which every address answers.

No packet leaves it. The process in it (__main__.py) makes the attempts, and ends when its standard input ends.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentcontainer.prove.attempt import Group, Outcome

PUBLIC, OTHER, OWN, NEIGHBOUR = "45.1.0.2", "45.1.0.3", "45.9.0.1", "10.7.0.2"
ANSWERING = (
    *(PUBLIC, OTHER, NEIGHBOUR, "172.16.0.2", "192.168.7.2", "100.64.0.2"),
    *("169.254.169.254", "168.63.129.16", "198.51.100.2"),
)
# A local route makes an address answer without making it an address of the host.
_MAKE = f"""
ip link set lo up
ip address add {OWN}/32 dev lo
for address in {" ".join(ANSWERING)}; do ip route add local $address dev lo; done
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
echo "nameserver {PUBLIC}" > "$1"
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"
"""


@dataclass(frozen=True)
class World:
    """What the process in the test network needs to know."""

    folder: Path
    uid_base: int
    lock_dir: Path
    runtime: Path


async def run_online(world: World, group: Group) -> AsyncGenerator[Outcome]:
    """The outcomes of `group`, whose attempts the process in the test network makes."""
    attempts = {attempt.name: attempt for attempt in group.attempts}
    resolv_conf = world.folder / "resolv.conf"
    process = await asyncio.create_subprocess_exec(
        *_command(resolv_conf),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    try:
        process.stdin.write(
            json.dumps({name: str(value) for name, value in asdict(world).items()}).encode() + b"\n"
        )
        while line := await process.stdout.readline():
            report = json.loads(line)
            yield Outcome(group.name, attempts.pop(report["name"]), report["verdict"], report["detail"])
        complaint = (await process.stderr.read()).decode(errors="replace").strip()[-200:]
        for attempt in attempts.values():
            detail = f"the attempt was not made, because the test network could not be made: {complaint}"
            yield Outcome(group.name, attempt, "inconclusive", detail)
    finally:
        process.stdin.close()
        await process.wait()
        resolv_conf.unlink(missing_ok=True)


def _command(resolv_conf: Path) -> list[str]:
    uid, gid = os.geteuid(), os.getegid()
    within = [sys.executable, "-I", "-m", "agentcontainer.prove"]
    make = ["sh", "-euc", _MAKE, "sh", str(resolv_conf)]
    if uid == 0:
        return ["unshare", "--net", "--mount", "--propagation", "private", "--", *make, *within]
    again = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--"]
    return ["unshare", "--user", "--map-root-user", "--net", "--mount", "--", *make, *again, *within]
