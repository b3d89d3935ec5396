"""Builds images from this host's files, and runs a real registry on loopback that serves them."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from agentcontainer.runtime.packages import node_path
from tests.ports import free_port

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PROGRAMS = ("bash", "cat", "echo", "env", "id", "ls", "sh", "touch", "true")
GREETING = "hello from the image\n"


@dataclass
class Entry:
    """One member of a layer: a file with this content, or of another `kind` with a `target`."""

    name: str
    content: bytes = b""
    mode: int = 0o755
    kind: bytes = tarfile.REGTYPE
    target: str = ""

    def add_to(self, tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(self.name)
        info.mode, info.type, info.linkname, info.size = self.mode, self.kind, self.target, len(self.content)
        tar.addfile(info, io.BytesIO(self.content))


def layer(entries: Iterable[Entry]) -> bytes:
    """An uncompressed tar of the entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            entry.add_to(tar)
    return buffer.getvalue()


@cache
def system(*, without: str = "\0", loader: str = "", forget: bytes = b"") -> bytes:
    """A layer in which bash and our node run: this host's own files, in a merged /usr. `without`: no file with this in
    its name. `loader`: programs are started by the loader of this path, as with another C library. `forget`: the C
    library does not know this version of its symbols."""
    paths = {shutil.which(name, path="/usr/bin:/bin") or name for name in PROGRAMS}
    libraries = {library for path in (*paths, str(node_path())) for library in _libraries(path)}
    entries = [Entry(name, kind=tarfile.SYMTYPE, target=f"usr/{name}") for name in ("bin", "lib", "lib64")]
    for path in sorted(paths | libraries):
        content = Path(path).read_bytes()
        name = re.sub(r"^/(bin|lib|lib64)/", r"/usr/\1/", path).lstrip("/")
        if "ld-linux" in name and loader:
            name = loader
        if loader and (match := re.search(rb"/lib[0-9]*/ld-linux[^\0]*", content)) and path in paths:
            content = content.replace(
                match[0], loader.replace("usr/", "/").encode().ljust(len(match[0]), b"\0"), 1
            )
        if forget and "/libc.so" in name:
            assert forget in content
            content = content.replace(forget + b"\0", forget[:-1] + b"X\0")
        if without not in name:
            entries.append(Entry(name, content))
    entries.append(Entry("usr/share/greeting", GREETING.encode(), 0o644))
    return layer(entries)


def _libraries(program: str) -> set[str]:
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", output))


@dataclass
class Layout:
    """An OCI layout in a folder, with one image called `latest`."""

    folder: Path
    layers: Sequence[bytes]
    variables: Sequence[str] = ()
    architecture: str = ARCHITECTURE
    is_index: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "blobs/sha256").mkdir(parents=True)
        packed = [gzip.compress(layer, 1, mtime=0) for layer in self.layers]
        config = {
            "os": "linux", "architecture": self.architecture, "config": {"Env": list(self.variables), "User": "nobody"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in self.layers]},
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self._put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [self._put(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in packed],
        } | self.changes  # fmt: skip
        top = self._put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        if self.is_index:
            here = top | {"platform": {"os": "linux", "architecture": ARCHITECTURE}}
            other = top | {"platform": {"os": "linux", "architecture": "s390x"}}
            index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
            raw = json.dumps(index | {"manifests": [other, here]}).encode()
            top = self._put(raw, "application/vnd.oci.image.index.v1+json")
        self.digest = top["digest"]
        named = top | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        (self.folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))

    def _put(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = _digest(content)
        (self.folder / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def copy_to(self, target: str, *options: str) -> None:
        """Copy the whole image with skopeo, to `docker://…` or `docker-archive:…`."""
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *options]
        command += ["--all"] if self.is_index else []
        subprocess.run([*command, f"oci:{self.folder}:latest", target], check=True)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """A running registry. `host` includes the port."""

    host: str
    folder: Path
    pid: int

    def push(self, image: Layout, name: str) -> str:
        """Push the image and return its name with its digest."""
        image.copy_to(f"docker://{self.host}/{name}")
        return f"{self.host}/{name}@{image.digest}"

    def pulls(self) -> int:
        """How many layers and configurations the registry has served."""
        return len(re.findall(r'"GET /v2/\S+/blobs/\S+ HTTP/1.1" 200', (self.folder / "log").read_text()))


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Debian's docker-registry on a free port of loopback, its data in `folder`."""
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1, "log": {"level": "error"}, "http": {"addr": host},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
    }  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")},
        )  # fmt: skip
    try:
        _await(host, process, folder / "log")
        yield Registry(host, folder, process.pid)
    finally:
        process.kill()
        process.wait()


def _await(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"http://{host}/v2/", trust_env=False, verify=False).status_code == 200:
                return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


class Gate:
    """A TCP proxy for a registry that passes at most `SMALL` bytes while it is shut. `host` is the proxy's address."""

    SMALL = 64 * 1024

    def __init__(self, host: str) -> None:
        self._target = host.rpartition(":")[0], int(host.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_open = threading.Event()
        self.was_hit = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.is_open.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._target)
                threading.Thread(target=self._pass, args=(near, far, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, self.SMALL), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError), source, target:
            while chunk := source.recv(16 * 1024):
                passed += len(chunk)
                if limit is not None and passed > limit and not self.is_open.is_set():
                    self.was_hit.set()
                    self.is_open.wait()
                target.sendall(chunk)
            target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder that all users can read."""
    folder = Path(tempfile.mkdtemp(prefix="ac-oci-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
