"""A real S3 server over HTTP (moto), for tests."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

from tests.ports import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}


@dataclass(frozen=True)
class S3Server:
    """A running server, by its URL."""

    endpoint: str

    def storage_url(self, bucket: str, prefix: str = "installation/one") -> str:
        """The setting for a new bucket of this name."""
        assert self._call("PUT", bucket).status_code == 200
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region=eu-central-1"

    def keys(self, bucket: str) -> list[str]:
        """The objects, and the multipart uploads that were neither completed nor aborted."""
        objects, uploads = self._call("GET", bucket).text, self._call("GET", f"{bucket}?uploads").text
        return re.findall("<Key>(.*?)</Key>", objects + uploads)

    def _call(self, method: str, path: str) -> httpx2.Response:
        return httpx2.request(method, f"{self.endpoint}/{path}", trust_env=False, verify=False)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run the server during the block; it keeps everything in memory."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                httpx2.get(f"http://127.0.0.1:{port}/moto-api/", trust_env=False, verify=False)
                break
            except httpx2.HTTPError:
                time.sleep(0.05)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
