"""`webhooks listen`, which sends the events of the feed to a server on this machine."""

import http.server
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcontainer_client import AgentContainer
from tests.acceptance.bed import Client, Platform, finish, script
from tests.client.terminal import COMMAND

DATA = "agt_standard_data"
Requests = queue.Queue[tuple[bytes, dict[str, str]]]


@pytest.fixture
def environment(client_platform: Platform, account: Client, tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {
        "AGENTCONTAINER_URL": client_platform.base_url,
        "AGENTCONTAINER_API_KEY": account.api_key,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


@contextmanager
def laptop() -> Iterator[tuple[str, Requests]]:
    """A server that accepts every request."""
    requests: Requests = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()
            requests.put((body, dict(self.headers)))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_listen_relays_the_feed_signed(environment: dict[str, str], client: AgentContainer) -> None:
    with laptop() as (url, requests):
        command = [*COMMAND, "webhooks", "listen", "--forward", url, "--event", "task.finished"]
        listening = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert listening.stdout is not None
            secret = listening.stdout.readline().strip()
            client.tasks.run(script(finish()), agent=DATA, title="Relayed")
            while True:  # other tests use the same account
                body, headers = requests.get(timeout=30)
                event = client.webhooks.unwrap(body, headers, secret)
                assert event.type == "task.finished"
                if event.data.title == "Relayed":
                    break
        finally:
            listening.terminate()
            listening.communicate(timeout=30)
    [entry] = [each for each in client.feed.list(order="desc", limit=100) if each.id == event.id]
    assert event.data == entry.data
