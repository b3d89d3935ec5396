"""The servers in the world of tests/internet.py: `python -m tests.internet_servers world|host`."""

import asyncio
import sys

import dns.message
import dns.rdatatype
import dns.rrset

from tests import internet

NAMES = {
    "public.test.": [internet.PUBLIC],
    "other.test.": [internet.OTHER],
    "a.wild.test.": [internet.PUBLIC],
    "private.test.": [internet.PRIVATE],
    "mixed.test.": [internet.PRIVATE, internet.PUBLIC],
    "host.test.": [internet.HOST],
}
REBINDING = "rebinding.test."  # a public address for the first query, a private one afterwards
requests: dict[str, int] = {}


class Nameserver(asyncio.DatagramProtocol):
    """Resolves the names above."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        reply = dns.message.make_response(question, recursion_available=True)
        name, kind = question.question[0].name, question.question[0].rdtype
        key = f"{name}{kind}"
        requests[key] = requests.get(key, 0) + 1
        addresses = NAMES.get(str(name))
        if str(name) == REBINDING:
            addresses = [internet.PUBLIC if requests[key] == 1 else internet.PRIVATE]
        if addresses is None:
            reply.set_rcode(3)
        elif kind == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text_list(name, 1, "IN", "A", addresses))
        elif kind == dns.rdatatype.TXT:
            reply.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", '"hello"'))
        self.transport.sendto(reply.to_wire(), addr)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the address on which the client connected, then echo everything."""
    address = writer.get_extra_info("sockname")[0]
    try:
        writer.write(f"at {address}\n".encode())
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
    finally:
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """An echo server over UDP."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"at any\n" + data, addr)


async def main(role: str) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    for port in internet.PORTS:
        await asyncio.start_server(serve, "0.0.0.0", port)
    if role == "world":
        await loop.create_datagram_endpoint(Nameserver, local_addr=(internet.PUBLIC, 53))
        await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 7777))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
