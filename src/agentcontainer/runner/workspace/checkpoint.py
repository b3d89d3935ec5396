"""Saves a whole workspace to the object store, and brings it back.

GNU tar reads and writes what a hostile agent made, so it runs like an agent does: in a sandbox of its own beneath the
workspace's uid, which sees that workspace and nothing else. There it is a keeper (sandbox/contract.py): what the
agent closed to itself is saved too. Its stream is compressed here, in a thread, and never held whole.
"""

import asyncio
import contextlib
import hashlib
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from agentcontainer.domain.files.blobs import CHUNK_BYTES, Blob, Blobs
from agentcontainer.domain.tasks.model import Checkpoint
from agentcontainer.errors import NotFound, PayloadTooLarge, SandboxError, Unavailable
from agentcontainer.printable import printable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE, Exit, Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import DiskFull, Volumes

LEVEL = 1
QUEUED_CHUNKS = 2
MAX_WINDOW_BYTES = 8 * 1024**2  # what a frame may make the decompressor hold; level 1 asks for far less
STALL_SECONDS = 60.0  # for the next bytes: a disk or a store may be slow, but not still
MAX_PATH_BYTES = 4095  # what tar can open again
MAX_REASON_CHARACTERS = 300
STDERR_BYTES = 16 * 1024
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
COMMON = ("--file=-", f"--directory={INSIDE_WORKSPACE}", "--numeric-owner", "--quoting-style=escape")
CREATE = (
    *("tar", "--create", *COMMON, "--format=posix", "--sparse", "--sort=none", "--one-file-system"),
    *("--owner=0", "--group=0", "--pax-option=exthdr.name=x,delete=atime,delete=ctime"),
    *("--blocking-factor=64", "--verbose", "."),  # verbose: names on stderr, where they are counted
)
EXTRACT = (
    *("tar", "--extract", *COMMON, "--preserve-permissions", "--no-same-owner", "--delay-directory-restore"),
    *("--warning=no-timestamp", "--warning=no-unknown-keyword"),
)
WAIT = 'read -r _; exec "$@"'  # the launch is not part of the pause
TAR_CHANGED = 1  # exit code: something was written or removed while it was read
_ESCAPED = re.compile(rb"\\(?:[0-7]{3}|.)")  # how tar writes a byte that would not print
DISK_FAULTS = ("No space left on device", "Disk quota exceeded", "Input/output error")


class CheckpointFailed(Exception):
    """The workspace could not be saved. `str(error)` is a sentence for the task's owner."""


class CheckpointCorrupt(Exception):
    """What the store holds is not what was saved. `str(error)` is a sentence for the task's owner."""


@dataclass(frozen=True)
class Saved:
    """What a save made; `paused_seconds`: how long the sandbox was held still for it."""

    size_bytes: int
    sha256: str
    unpacked_bytes: int
    entries: int
    paused_seconds: float


@dataclass(frozen=True)
class CheckpointStore:
    """What checkpoints need. `folder` is the runner's own, where the helpers get folders by which a sweep finds
    them; `max_bytes` is for the blob, `max_unpacked_bytes` for the tar in it."""

    sandboxes: Bubblewrap
    blobs: Blobs
    folder: Path
    limits: Limits
    max_bytes: int
    max_unpacked_bytes: int
    volumes: Volumes

    @classmethod
    def of(cls, services: Services) -> "CheckpointStore":
        settings = services.settings
        return cls(
            services.sandboxes, services.blobs, services.folder, services.limits,
            settings.max_checkpoint_bytes, settings.max_workspace_bytes, services.volumes,
        )  # fmt: skip

    async def save(self, sandbox: Sandbox, root: Path, name: str, blob_key: str) -> Saved:
        """Store the workspace of `root`, in which `sandbox` may be at work: it is held still meanwhile if the host
        can. `name` begins the helper's name and is this attempt's. The blob was read again when this returns.

        Raises:
            CheckpointFailed: it could not be; no blob stays, unless the store cannot even be asked to drop it.
        """
        try:
            return await self._save(sandbox, root, f"{name}-save", blob_key)
        except PayloadTooLarge:
            raise _failed(f"compressed, it has more than {self.max_bytes} bytes") from None
        except (Unavailable, NotFound, SandboxError) as error:
            raise CheckpointFailed(f"The workspace could not be saved. {error}") from error
        except OSError as error:
            raise _failed(f"the runner's disk failed ({error.strerror})") from error

    async def restore(
        self, root: Path, name: str, checkpoint: Checkpoint, lease: UidLease | None = None
    ) -> None:
        """Make the folder `workspace` of `root`, which must not be there yet, as it was saved; when this fails it is
        not there either. Start its sandbox with the same `lease` (from `Bubblewrap.lease`): handed over to another
        uid its files lose their setuid bits, and time.

        Raises:
            CheckpointCorrupt: the blob is gone or is another, or tar cannot read it.
            DiskFull: it is more than a workspace may hold.
            Unavailable: the store cannot be reached. SandboxError: this host cannot do it now.
        """
        try:
            await self._restore(root, f"{name}-restore", checkpoint, lease)
        except OSError as error:
            raise SandboxError(f"A checkpoint could not be restored: {error.strerror}.") from error

    async def _save(self, sandbox: Sandbox, root: Path, helper_id: str, blob_key: str) -> Saved:
        argv = ("sh", "-euc", WAIT, "sh", *CREATE)
        async with (
            _scratch(self.folder / helper_id),
            self._helper(helper_id, root, argv, sandbox.lease, is_read_only=True) as helper,
        ):
            packing = _Packing(helper, sandbox, self.max_unpacked_bytes)
            blob = await packing.into(self.blobs, blob_key, self.max_bytes)
        stored = await self.blobs.digest(blob_key)
        if (stored.size_bytes, stored.sha256) != (blob.size_bytes, blob.sha256):
            await self.blobs.delete(blob_key)
            raise _failed("the object store gave back other bytes than it was given")
        return Saved(
            blob.size_bytes, blob.sha256, packing.unpacked_bytes, packing.said.entries, packing.paused_seconds
        )

    async def _restore(
        self, root: Path, helper_id: str, checkpoint: Checkpoint, lease: UidLease | None
    ) -> None:
        async with _scratch(self.folder / helper_id) as scratch:
            await self._fetch(checkpoint, scratch / "archive")
            target = root / "workspace"
            await self.volumes.make(target, is_restored=True)
            try:
                await self._unpack(root, helper_id, scratch / "archive", checkpoint, lease)
            except BaseException:
                await folders.remove(target)
                raise

    async def _fetch(self, checkpoint: Checkpoint, archive: Path) -> None:
        """The blob as a file, once it is known to be what was saved: nothing reads another."""
        digest, size = hashlib.sha256(), 0

        def keep(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        with archive.open("wb") as file, _corrupt_if_gone():
            async for chunk in self.blobs.stream(checkpoint.blob_key):
                size += len(chunk)
                if size > checkpoint.size_bytes:
                    break
                await asyncio.to_thread(keep, chunk)
        if (size, digest.hexdigest()) != (checkpoint.size_bytes, checkpoint.sha256):
            raise _corrupt("its bytes in the object store are not those that were saved")

    async def _unpack(
        self, root: Path, helper_id: str, archive: Path, checkpoint: Checkpoint, lease: UidLease | None
    ) -> None:
        async with self._helper(helper_id, root, EXTRACT, lease, is_read_only=False) as helper:
            said = _Said()
            listening = asyncio.create_task(said.listen(helper.stderr))
            try:
                with archive.open("rb") as file:
                    fed = await _feed(helper, file, checkpoint.unpacked_bytes)
                async with asyncio.timeout(STALL_SECONDS):
                    ending = await helper.wait()
                await asyncio.wait([listening], timeout=1)
            except TimeoutError:
                raise SandboxError("A checkpoint could not be restored: the disk stands still.") from None
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        if ending.code != 0 and volume.is_full(root / "workspace"):
            raise DiskFull(f"The saved workspace cannot be restored: {self.volumes.room.fault}.")
        if ending.is_out_of_memory or any(fault in said.text for fault in DISK_FAULTS):
            raise SandboxError("A checkpoint could not be restored: this host has too little memory or disk.")
        if ending.code != 0:
            raise _corrupt(said.reason(ending.code))
        if fed != checkpoint.unpacked_bytes:
            raise _corrupt("it ends too early")

    @contextlib.asynccontextmanager
    async def _helper(
        self, helper_id: str, root: Path, argv: Sequence[str], lease: UidLease | None, *, is_read_only: bool
    ) -> AsyncGenerator[Sandbox]:
        spec = Spec(
            helper_id, root, root, self.limits, ENVIRONMENT, "/", is_helper=True, is_read_only=is_read_only
        )  # a keeper has no runtime
        helper = await self.sandboxes.start(spec, argv, lease)
        try:
            yield helper
        finally:
            await helper.destroy()


class _Packing:
    """One save's way from tar to the store: read, compressed and handed on a chunk at a time."""

    def __init__(self, helper: Sandbox, sandbox: Sandbox, max_unpacked_bytes: int) -> None:
        self.unpacked_bytes = 0
        self.paused_seconds = 0.0
        self.said = _Said()
        self._helper = helper
        self._sandbox = sandbox
        self._max_unpacked_bytes = max_unpacked_bytes
        self._packed: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_CHUNKS)
        self._is_whole = False

    async def into(self, blobs: Blobs, key: str, max_bytes: int) -> Blob:
        """Run tar and store what it says.

        Raises:
            CheckpointFailed: tar could not. Those of `Blobs.put`.
        """
        packing = asyncio.create_task(self._pack())
        try:
            return await blobs.put(key, self._chunks(), max_bytes)
        except (PayloadTooLarge, Unavailable):
            if packing.done():
                packing.result()  # what broke it in truth
            raise
        finally:
            packing.cancel()
            await asyncio.gather(packing, return_exceptions=True)
            self._break_off()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._packed.get()) is not None:
            yield chunk
        if not self._is_whole:
            raise Unavailable("The workspace was not read to its end.")

    def _break_off(self) -> None:
        """Whoever waits for a chunk waits no longer."""
        while not self._packed.empty():
            self._packed.get_nowait()
        self._packed.put_nowait(None)

    async def _pack(self) -> None:
        listening = asyncio.create_task(self.said.listen(self._helper.stderr))
        try:
            async with self._sandbox.frozen() as is_frozen:
                began_at = asyncio.get_running_loop().time()
                await self._compress()
                if is_frozen:
                    self.paused_seconds = asyncio.get_running_loop().time() - began_at
            ending = await self._helper.wait()
            await asyncio.wait([listening], timeout=1)
            self._check(ending)
            self._is_whole = True
            await self._packed.put(None)
        except TimeoutError:
            self._break_off()
            raise _failed("it took too long to read or to store") from None
        except BaseException:
            self._break_off()
            raise
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _compress(self) -> None:
        compressor = zstandard.ZstdCompressor(LEVEL).compressobj()
        self._helper.stdin.write(b"\n")
        while chunk := await _next(self._helper.stdout):
            self.unpacked_bytes += len(chunk)
            if self.unpacked_bytes > self._max_unpacked_bytes:
                raise _failed(f"it has more than {self._max_unpacked_bytes} bytes")
            await self._hand_on(await asyncio.to_thread(compressor.compress, chunk))
            self._check_paths()
        await self._hand_on(compressor.flush())

    async def _hand_on(self, packed: bytes) -> None:
        if packed:
            async with asyncio.timeout(STALL_SECONDS):
                await self._packed.put(packed)

    def _check(self, ending: Exit) -> None:
        self._check_paths()
        if ending.is_out_of_memory:
            raise _failed("its list of files takes more memory than there is")
        if ending.code not in (0, TAR_CHANGED):
            raise _failed(self.said.reason(ending.code))

    def _check_paths(self) -> None:
        if self.said.has_long_path:
            raise _failed(f"it has folders in folders whose path has more than {MAX_PATH_BYTES} bytes")


class _Said:
    """What a tar says on stderr: names of entries, each on a line that begins with `./`, and complaints."""

    def __init__(self) -> None:
        self.entries = 0
        self.has_long_path = False
        self._complaints = bytearray()

    async def listen(self, stderr: asyncio.StreamReader) -> None:
        """Take in everything to the end."""
        begun = b""
        while chunk := await stderr.read(CHUNK_BYTES):
            *lines, begun = (begun + chunk).split(b"\n")
            begun = begun[: 4 * MAX_PATH_BYTES + 8]  # an endless line is no path
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        if line.startswith(b"./"):
            self.entries += 1
            if len(line) > MAX_PATH_BYTES and len(_ESCAPED.sub(b".", line)) > MAX_PATH_BYTES:
                self.has_long_path = True
        else:
            self._complaints += line + b"\n"
            del self._complaints[:-STDERR_BYTES]

    @property
    def text(self) -> str:
        return self._complaints.decode(errors="replace")

    def reason(self, code: int) -> str:
        """Its last complaints, as the end of a sentence."""
        lines = [line.removeprefix("tar: ") for line in self.text.splitlines() if line.startswith("tar: ")]
        told = "; ".join(line for line in lines if "exit" not in line.lower() or len(lines) == 1)
        return printable(told)[-MAX_REASON_CHARACTERS:].rstrip(".") or f"tar ended with exit code {code}"


async def _feed(helper: Sandbox, archive: IO[bytes], expected_bytes: int) -> int:
    """Give tar what the archive unpacks to, but no more than was once saved; returns how much it was."""
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(archive)
    fed = 0
    try:
        while chunk := await asyncio.to_thread(reader.read, CHUNK_BYTES):
            fed += len(chunk)
            if fed > expected_bytes:
                raise _corrupt("it unpacks to more than was saved")
            helper.stdin.write(chunk)
            async with asyncio.timeout(STALL_SECONDS):
                await helper.stdin.drain()
    except zstandard.ZstdError:
        raise _corrupt("it cannot be decompressed") from None
    except ConnectionError:  # tar has given up, and says why
        return fed
    helper.stdin.close()
    return fed


async def _next(stream: asyncio.StreamReader) -> bytes:
    """A whole chunk, unless the stream ends."""
    chunk = bytearray()
    async with asyncio.timeout(STALL_SECONDS):
        while len(chunk) < CHUNK_BYTES and (some := await stream.read(CHUNK_BYTES - len(chunk))):
            chunk += some
    return bytes(chunk)


@contextlib.asynccontextmanager
async def _scratch(folder: Path) -> AsyncGenerator[Path]:
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _corrupt_if_gone() -> Generator[None]:
    try:
        yield
    except NotFound:
        raise _corrupt("its bytes are gone from the object store") from None


def _failed(why: str) -> CheckpointFailed:
    return CheckpointFailed(f"The workspace could not be saved: {why}.")


def _corrupt(why: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(f"The saved workspace cannot be restored: {why}.")
