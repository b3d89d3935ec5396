"""SSL_CERT_FILE: the CAs that are trusted for providers and for the store."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import certificates
from tests.threaded_server import serving

REACHING = """
import asyncio, sys
import aiohttp
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.gateway.app import provider_client
from agentcontainer.gateway.provider_response import unreachable

async def main(url):
    async with provider_client() as client:
        try:
            async with client.post(url) as response:
                print("provider", response.status)
        except aiohttp.ClientError as error:
            print("provider", unreachable(error))
    try:
        await Blobs(f"s3://bucket?region=x&endpoint={url}").head("key")
    except (NotFound, Unavailable) as error:
        print("store", type(error).__name__)

asyncio.run(main(sys.argv[1]))
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a TLS server, and the file of the CA that signed its certificate."""
    ca_file, context = certificates.make(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as address:
        yield f"https://{address}", ca_file


def reached(url: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run(
        [sys.executable, "-c", REACHING, url], env=inherited | keys | environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def test_the_bundle_is_trusted_for_providers_and_the_store(server: tuple[str, Path]) -> None:
    url, ca_file = server
    assert reached(url, SSL_CERT_FILE=str(ca_file)) == "provider 404\nstore NotFound\n"
    refusal, store = reached(url).splitlines()
    assert refusal.startswith("provider cannot be reached: its certificate is not trusted here")
    assert store == "store Unavailable"
