"""A real git server over HTTP on loopback (`git http-backend`), which can also misbehave."""

import base64
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.threaded_server import serving

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuv"
_GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "T",
    "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_HTTP_EXPORT_ALL": "1",
}  # fmt: skip


class _Server(ThreadingHTTPServer):
    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError, AttributeError):  # git with GnuTLS needs the end of TLS to be said
            request.unwrap()
        super().shutdown_request(request)


class GitServer:
    """`git/NAME` is served plainly, `private/NAME` with the token, `moved/NAME` and `elsewhere/NAME` redirect (to
    this and to another host), `slow/NAME` responds late."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []  # path, Authorization
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]

    def url(self, kind: str, name: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/{kind}/{name}"

    def make(self, name: str, files: dict[str, bytes]) -> Path:
        """A repository with one commit on `main`."""
        folder = self.folder / name
        self.git("init", "--quiet", "--initial-branch", "main", str(folder), folder=self.folder)
        self.commit(name, files)
        return folder

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        folder = self.folder / name
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        self.git("add", "--all", folder=folder)
        self.git("commit", "--quiet", "--message", "A commit", folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    def commit_tree(self, name: str, entries: bytes) -> None:
        """A commit of a raw tree object, which may have contents that git itself refuses to create."""
        folder = self.folder / name
        tree = self.git(
            "hash-object", "-t", "tree", "-w", "--stdin", "--literally", folder=folder, data=entries
        )
        commit = self.git("commit-tree", "-m", "A commit", tree, folder=folder)
        self.git("update-ref", "refs/heads/main", commit, folder=folder)

    def git(self, *arguments: str, folder: Path, data: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=_GIT_ENVIRONMENT, input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    @contextmanager
    def running(self) -> Iterator["GitServer"]:
        with serving(self._server):
            yield self


def _handler(git: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            _, kind, rest = path.split("/", 2)
            authorization = self.headers.get("Authorization")
            git.requests.append((path, authorization))
            expected = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
            if kind == "private" and authorization != expected:
                return self._reply(401, "WWW-Authenticate", 'Basic realm="git"')
            if kind in ("moved", "elsewhere"):
                host = "127.0.0.1" if kind == "moved" else "localhost"
                return self._reply(301, "Location", f"http://{host}:{git.port}/git/{rest}?{query}")
            if kind == "slow":
                time.sleep(1.5)
            return self._backend(rest, query)

        do_POST = do_GET  # noqa: N815

        def _reply(self, status: int, name: str, value: str) -> None:
            self.send_response(status)
            self.send_header(name, value)
            self.end_headers()

        def _backend(self, path: str, query: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            environment = _GIT_ENVIRONMENT | {
                "GIT_PROJECT_ROOT": str(git.folder), "PATH_INFO": f"/{path}", "QUERY_STRING": query,
                "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            }  # fmt: skip
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the client disconnected
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
