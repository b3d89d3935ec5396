"""The process in the test network (world.py): makes the attempts at internet access, and prints each outcome."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import dns.message
import dns.rdatatype
import dns.rrset

from agentcontainer.errors import SandboxError
from agentcontainer.prove.attempt import Outcome
from agentcontainer.prove.internet import LISTED, NAMED, ONLINE
from agentcontainer.prove.run import run
from agentcontainer.prove.trial import ROOM, Setup, trial
from agentcontainer.prove.weakened import Edit, Weakened
from agentcontainer.prove.world import NEIGHBOUR, OTHER, PUBLIC
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Internet
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.volume import Volumes

NAMES = {"public.test.": PUBLIC, "other.test.": OTHER, "private.test.": NEIGHBOUR}
REBINDING = "rebinding.test."  # has a public address in the first answer, a private one in all others


class Nameserver(asyncio.DatagramProtocol):
    """Answers queries for the names above. The answer to a TXT query contains the name that was asked for."""

    def __init__(self) -> None:
        self._queried: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        reply = dns.message.make_response(question, recursion_available=True)
        name, kind = str(question.question[0].name), question.question[0].rdtype
        if kind == dns.rdatatype.TXT:
            reply.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", f'"{name}"'))
        elif kind == dns.rdatatype.A and (address := self._address(name)) is not None:
            reply.answer.append(dns.rrset.from_text(name, 1, "IN", "A", address))
        self._transport.sendto(reply.to_wire(), addr)

    def _address(self, name: str) -> str | None:
        if name != REBINDING:
            return NAMES.get(name)
        is_first = name not in self._queried
        self._queried.add(name)
        return PUBLIC if is_first else NEIGHBOUR


async def main() -> None:
    """Make all attempts; stop when standard input ends."""
    world = json.loads(await asyncio.to_thread(sys.stdin.readline))
    uid_base, lock_dir, hierarchy = int(world["uid_base"]), Path(world["lock_dir"]), detect()
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    assert working is not None
    loop.add_reader(sys.stdin.fileno(), working.cancel)
    await loop.create_datagram_endpoint(Nameserver, local_addr=(PUBLIC, 53))

    def weakened(edit: Edit) -> Bubblewrap:
        return Weakened(uid_base, lock_dir, edit, hierarchy)

    sandboxes = Bubblewrap(uid_base, lock_dir, hierarchy)
    setup = Setup(sandboxes, weakened, Path(world["runtime"]), Volumes(ROOM), Path(world["folder"]))
    for group, allow in ((ONLINE, None), (LISTED, (NAMED,))):
        reason = await _refusal(setup, Internet(allow))
        if reason is not None:
            for attempt in group.attempts:
                _print_outcome(Outcome(group.name, attempt, "not offered", reason))
            continue
        async for outcome in run(setup, (group,), os.geteuid() == 0):
            _print_outcome(outcome)


async def _refusal(setup: Setup, internet: Internet) -> str | None:
    """Why this host cannot give a sandbox such access; None: it can."""
    async with trial(setup, is_control=False) as probe:
        try:
            sandbox = await setup.sandboxes.start(replace(probe.spec(), internet=internet), ["/bin/true"])
        except SandboxError as error:
            return str(error)
        await sandbox.destroy()
        return None


def _print_outcome(outcome: Outcome) -> None:
    answer = {"name": outcome.attempt.name, "verdict": outcome.verdict, "detail": outcome.detail}
    print(json.dumps(answer), flush=True)


asyncio.run(main())
