"""The DNS server of a sandbox.

It never answers with a private address. With an allow-list it sends no query: a host on the list gets a
stand-in address, which only our relay understands and resolves when it connects. So no data leaves the host
in queries, and no answer can change between check and use. Without a list, queries go to the host's
nameservers, and private addresses are removed from the answers.
"""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from agentcontainer.egress import Rule, canonical
from agentcontainer.sandbox.addresses import is_public
from agentcontainer.sandbox.egress.refusals import Refusals

TTL_SECONDS = 60
MAX_IN_FLIGHT = 64
MAX_CONNECTIONS = 16
MAX_QUESTION_BYTES = 4096
UPSTREAM_SECONDS = 4.0
IDLE_SECONDS = 10.0
STAND_IN_NETWORK = ipaddress.IPv4Network(
    "198.18.0.0/15"
)  # RFC 2544: no host of the internet has such an address
MAX_STAND_INS = 65_536

Answer = Callable[[dns.message.Message], Awaitable[dns.message.Message]]


class StandInAddresses:
    """Local addresses, each of which stands for a host name."""

    def __init__(self) -> None:
        self._names: dict[ipaddress.IPv4Address, str] = {}
        self._addresses: dict[str, ipaddress.IPv4Address] = {}

    def address_of(self, name: str) -> ipaddress.IPv4Address:
        """The address that stands for `name`. If all are in use, the oldest name loses its address."""
        if (address := self._addresses.get(name)) is not None:
            return address
        if len(self._names) < MAX_STAND_INS:
            address = STAND_IN_NETWORK[len(self._names) + 1]
        else:
            address, oldest = next(iter(self._names.items()))
            del self._names[address], self._addresses[oldest]
        self._names[address], self._addresses[name] = name, address
        return address

    def name_of(self, address: str) -> str | None:
        """The name that `address` stands for; None: it stands for none."""
        return self._names.get(ipaddress.IPv4Address(address))


class AllowListAnswers:
    """Answers queries with an allow-list."""

    def __init__(self, rules: Sequence[Rule], stand_ins: StandInAddresses, refusals: Refusals) -> None:
        self._rules = rules
        self._stand_ins = stand_ins
        self._refusals = refusals

    async def answer(self, question: dns.message.Message) -> dns.message.Message:
        """The reply to one question."""
        reply = dns.message.make_response(question, recursion_available=True)
        record = question.question[0]
        name = canonical(record.name.to_text(omit_final_dot=True))
        if not any(rule.matches_name(name) for rule in self._rules):
            if record.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                self._refusals.add(name, None)
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif record.rdtype == dns.rdatatype.A:
            address = str(self._stand_ins.address_of(name))
            reply.answer.append(dns.rrset.from_text(record.name, TTL_SECONDS, "IN", "A", address))
        return reply


class ForwardedAnswers:
    """Answers queries with the host's nameservers, and removes private addresses."""

    def __init__(self, resolv_conf: Path = Path("/etc/resolv.conf")) -> None:
        self._resolv_conf = resolv_conf

    async def answer(self, question: dns.message.Message) -> dns.message.Message:
        """The reply to one question."""
        reply = await self._forward(question)
        if reply is None:
            reply = dns.message.make_response(question, recursion_available=True)
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        reply.id = question.id
        for section in (reply.answer, reply.additional):
            section[:] = [rrset for rrset in map(_public, section) if rrset is not None]
        return reply

    async def _forward(self, question: dns.message.Message) -> dns.message.Message | None:
        record = question.question[0]
        query = dns.message.make_query(record.name, record.rdtype)
        for server in nameservers(self._resolv_conf):
            with contextlib.suppress(dns.exception.DNSException, OSError, EOFError):
                reply, _ = await dns.asyncquery.udp_with_fallback(query, server, timeout=UPSTREAM_SECONDS)
                return reply
        return None


class Resolver:
    """Serves a sandbox's DNS queries on two sockets of its namespace, by UDP and TCP."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._in_flight: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def start(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve until the event loop ends."""
        udp.setblocking(False)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(self._take), sock=udp)
        await asyncio.start_server(self._serve, sock=tcp, limit=MAX_QUESTION_BYTES)

    def _take(self, data: bytes, sender: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return  # dropped: a resolver that needs the answer repeats its query
        task = asyncio.create_task(self._answer_datagram(data, sender, transport))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _answer_datagram(
        self, data: bytes, sender: tuple[str, int], transport: asyncio.DatagramTransport
    ) -> None:
        question = read(data)
        if question is not None:
            size = max(512, min(question.payload or 512, 1232))
            transport.sendto(_wire(await self._answer(question), size), sender)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            while self._connections <= MAX_CONNECTIONS:
                async with asyncio.timeout(IDLE_SECONDS):
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    question = read(await reader.readexactly(min(size, MAX_QUESTION_BYTES)))
                if question is None:
                    return
                reply = _wire(await self._answer(question), 65_535)
                writer.write(struct.pack("!H", len(reply)) + reply)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, EOFError):
            pass  # TimeoutError is an OSError
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[str, int], asyncio.DatagramTransport], None]) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr, self._transport)


def read(data: bytes) -> dns.message.Message | None:
    """The query in `data`; None: it is not one query of the class IN, and is not answered."""
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return None
    is_question = message.opcode() == dns.opcode.QUERY and not message.flags & dns.flags.QR
    if not is_question or len(message.question) != 1:
        return None
    return message if message.question[0].rdclass == dns.rdataclass.IN else None


def nameservers(resolv_conf: Path) -> list[str]:
    """Addresses of the host's nameservers. Read for each query, because a host may move to another network."""
    try:
        lines = [line.split() for line in resolv_conf.read_text().splitlines()]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"][:3]


def _public(rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
    """The record set without private addresses; None if it is empty then."""
    if rrset.rdtype in (dns.rdatatype.SVCB, dns.rdatatype.HTTPS):
        return None  # they contain addresses as hints
    if rrset.rdtype not in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return rrset
    records = cast("Iterable[dns.rdata.Rdata]", rrset)
    public = [record for record in records if is_public(ipaddress.ip_address(record.to_text()))]
    return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, public) if public else None


def _wire(reply: dns.message.Message, size: int) -> bytes:
    try:
        return reply.to_wire(max_size=size)
    except dns.exception.TooBig:
        reply.flags |= dns.flags.TC  # the client repeats its query by TCP
        for section in (reply.answer, reply.authority, reply.additional):
            section.clear()
        return reply.to_wire()
