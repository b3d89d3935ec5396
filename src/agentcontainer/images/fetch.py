"""Fetches an image: skopeo pulls it, we verify it, umoci unpacks it, and we prepare its files for mounting.

Both programs read untrusted bytes, so both run in helper sandboxes with a uid of their own, umoci without a
network. Between them we check all bytes against the digest in the image's pinned name. In the end the files
are readable by everyone, without setuid bits and, if the runner is root, owned by root.
"""

import asyncio
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from agentcontainer import du
from agentcontainer.errors import SandboxError
from agentcontainer.images import manifest, program
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused, ImageUnreachable, too_large
from agentcontainer.images.manifest import Blob, Index, Manifest
from agentcontainer.images.program import Bounds
from agentcontainer.images.reference import Reference
from agentcontainer.images.skopeo import Skopeo
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import IMAGE_FILES, IMAGE_FOLDERS, INSIDE_WORKSPACE, Spec
from agentcontainer.sandbox.host_uids import UidLease

PULL_SECONDS = 900.0
UNPACK_SECONDS = 900.0
CHUNK_BYTES = 1024**2
ENTRY_BYTES = 1024  # counted for each file, in addition to its content
# A workspace for each program, so that the first cannot touch what we write for the second.
PULLED, UNPACKED = "pulled", "unpacked"
LAYOUT = "layout"
ROOT = "root"
TAG = "image"
TOO_LARGE = 90
KINDS = {b"\x1f\x8b": "application/vnd.oci.image.layer.v1.tar+gzip"}
PLAIN_KIND = "application/vnd.oci.image.layer.v1.tar"
CONFIG_KIND = "application/vnd.oci.image.config.v1+json"
MANIFEST_KIND = "application/vnd.oci.image.manifest.v1+json"

# The size is measured in the helper sandbox, where no file mode of the image can hide files. After unpacking,
# each mount point is made a real folder or file instead of a link, parents first, and all files become
# readable by everyone.
UNPACK = f"""
max_bytes=$1 folders=$2 files=$3
cd {INSIDE_WORKSPACE}
umoci raw unpack --rootless --image {LAYOUT}:{TAG} {ROOT} >&2 &
unpacking=$!
measure() {{
    bytes=$({du.shell("--bytes", ROOT)})
    entries=$({du.shell("--inodes", ROOT)})
    size=$((${{bytes:-0}} + {ENTRY_BYTES} * ${{entries:-0}}))
    [ "$size" -le "$max_bytes" ] || exit {TOO_LARGE}
}}
while kill -0 "$unpacking" 2>/dev/null; do sleep 0.2; measure; done
wait "$unpacking"
measure
cd {ROOT}
for folder in $folders; do
    if [ -L "$folder" ] || [ ! -d "$folder" ]; then rm -rf -- "$folder"; mkdir -- "$folder"; fi
done
for file in $files; do
    if [ -L "$file" ] || [ ! -f "$file" ]; then rm -rf -- "$file"; : > "$file"; fi
done
if [ -L var ] || [ ! -d var ]; then rm -rf var; mkdir var; fi
rm -rf var/tmp
ln -s /tmp var/tmp
cd ..
chmod -R -- u+rwX,go=u,go-w,a-st {ROOT}
echo "$size"
"""


@dataclass(frozen=True)
class Fetched:
    """An unpacked image: its root folder, its unpacked size, and its environment variables."""

    root: Path
    size_bytes: int
    variables: dict[str, str]


@dataclass(frozen=True)
class Fetch:
    """Fetches one image. `name`: the id of its sandboxes; `root`: their folder, which must not exist yet."""

    sandboxes: Bubblewrap
    access: Access
    name: str
    root: Path
    max_bytes: int

    async def run(self, reference: Reference) -> Fetched:
        """Fetch the image that the pinned `reference` names. All files are made below `root`.

        Raises:
            ImageRefused: it cannot be used. ImageUnreachable: the registry cannot be reached, or this host
            lacks a program
                or disk. SandboxError: the platform failed.
        """
        for name in ("skopeo", "umoci"):
            program.need(name)
        for folder in (PULLED, UNPACKED):
            (self.root / folder / "workspace").mkdir(mode=0o755, parents=True)
        lease = await self.sandboxes.lease()
        try:
            config = await self._pull(reference, lease)
            variables = manifest.variables(config)
            size = await self._unpack(lease)
            unpacked = self.root / UNPACKED / "workspace" / ROOT
            await asyncio.to_thread(_check_mount_points, unpacked)
            await _give_to_root(unpacked)
        except OSError as error:
            raise SandboxError(f"An image could not be unpacked: {error.strerror}.") from error
        finally:
            if lease is not None:
                lease.release()
        return Fetched(unpacked, size, variables)

    async def _pull(self, reference: Reference, lease: UidLease | None) -> bytes:
        """Pull the image and write it as a layout for umoci; returns its configuration."""
        bounds = Bounds(PULL_SECONDS, manifest.MAX_BYTES, self.max_bytes + 2 * manifest.MAX_BYTES)
        skopeo = Skopeo(self.sandboxes, self.access, self.name, self.root / PULLED, lease, bounds)
        raw = await skopeo.manifest(reference)
        if manifest.digest_of(raw) != reference.digest:
            raise ImageRefused(f"has changed: its digest is no longer {reference.digest}")
        document = manifest.read(raw)
        allowed = (reference.digest,)
        if isinstance(document, Index):
            allowed = (manifest.digest_for_host(document), *document.fitting)
            if reference.registry is not None:
                reference = reference.pinned(allowed[0])
                document = manifest.read(await skopeo.manifest(reference))
        if isinstance(document, Manifest):
            manifest.check_size(document, self.max_bytes)
        copy = await skopeo.copy(reference)
        layout = self.root / UNPACKED / "workspace" / LAYOUT
        return await asyncio.to_thread(_lay_out, copy, layout, allowed, self.max_bytes)

    async def _unpack(self, lease: UidLease | None) -> int:
        """Run umoci; returns the unpacked size in bytes."""
        root = self.root / UNPACKED
        spec = Spec(self.name, root, root, program.LIMITS, program.ENVIRONMENT, "/", is_helper=True)
        bounds = Bounds(UNPACK_SECONDS, 100, 2 * self.max_bytes + 2 * manifest.MAX_BYTES)
        script = [
            "sh",
            "-euc",
            UNPACK,
            "sh",
            str(self.max_bytes),
            " ".join(IMAGE_FOLDERS),
            " ".join(IMAGE_FILES),
        ]
        outcome = await program.run(self.sandboxes, spec, script, bounds, lease)
        if outcome.code == TOO_LARGE:
            raise too_large(self.max_bytes)
        if "no space left" in outcome.stderr.lower():
            raise ImageUnreachable("cannot be unpacked: this host has too little disk")
        if outcome.code != 0 or not outcome.stdout.strip().isdigit():
            raise ImageRefused("cannot be unpacked: a layer of it is broken")
        return int(outcome.stdout)


def _lay_out(copy: Path, layout: Path, allowed: tuple[str | None, ...], max_bytes: int) -> bytes:
    """Make a layout of skopeo's folder, checking the digest of every file; returns the configuration. The
    manifest's digest must be one of `allowed`.

    Raises:
        ImageRefused: a digest does not match, or the image is not for this platform or too large.
    """
    try:
        folder = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise ImageRefused("was not copied completely") from None
    try:
        raw = _read(folder, "manifest.json")
        image = manifest.read(raw)
        if manifest.digest_of(raw) not in allowed or not isinstance(image, Manifest):
            raise ImageRefused("is not the one that its registry announced")
        manifest.check_size(image, max_bytes)
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)
        config = _read(folder, _hex(image.config.digest))
        if manifest.digest_of(config) != image.config.digest:
            raise ImageRefused("has a configuration that does not match its digest")
        manifest.check_config(config)
        kinds = [_move(folder, layer, blobs) for layer in image.layers]
        _write_layout(layout, image, config, kinds)
        return config
    finally:
        os.close(folder)


def _move(folder: int, layer: Blob, blobs: Path) -> str:
    """Move a layer into the layout if it matches its digest; returns its media type, found by its first
    bytes.

    Raises:
        ImageRefused: it does not match.
    """
    name = _hex(layer.digest)
    target = blobs / name
    if not target.exists():  # a manifest may list a layer twice
        with _open(folder, name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != name:
                raise ImageRefused("has a layer that does not match its digest")
        os.rename(name, target, src_dir_fd=folder)
    with target.open("rb") as file:
        return KINDS.get(file.read(2), PLAIN_KIND)


def _write_layout(layout: Path, image: Manifest, config: bytes, kinds: list[str]) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_KIND,
        "config": {"mediaType": CONFIG_KIND, "digest": image.config.digest, "size": len(config)},
        "layers": [
            {"mediaType": kind, "digest": layer.digest, "size": _size(layout, layer)}
            for kind, layer in zip(kinds, image.layers, strict=True)
        ],
    }
    raw = json.dumps(document).encode()
    digest = manifest.digest_of(raw)
    entry = {"mediaType": MANIFEST_KIND, "digest": digest, "size": len(raw)}
    named = entry | {"annotations": {"org.opencontainers.image.ref.name": TAG}}
    files = {
        f"blobs/sha256/{_hex(image.config.digest)}": config,
        f"blobs/sha256/{_hex(digest)}": raw,
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [named]}).encode(),
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
    }
    for path, content in files.items():
        (layout / path).write_bytes(content)


def _size(layout: Path, layer: Blob) -> int:
    return (layout / "blobs/sha256" / _hex(layer.digest)).stat().st_size


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _read(folder: int, name: str) -> bytes:
    with _open(folder, name) as file:
        return file.read(manifest.MAX_BYTES + 1)


def _open(folder: int, name: str) -> BufferedReader:
    """Open a regular file, without following a link.

    Raises:
        ImageRefused: it is not a regular file, or does not exist.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        raise ImageRefused("was not copied completely") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageRefused("was not copied completely")
    return os.fdopen(descriptor, "rb")


def _check_mount_points(root: Path) -> None:
    """Return if every mount point is a real folder or file. The sandbox that unpacked the image is not
    trusted with it, because the image may have taken it over.

    Raises:
        ImageRefused: one is a link or missing.
    """
    for names, is_kind in ((("", *IMAGE_FOLDERS), stat.S_ISDIR), (IMAGE_FILES, stat.S_ISREG)):
        try:
            is_whole = all(is_kind((root / name).lstat().st_mode) for name in names)
        except OSError:
            is_whole = False
        if not is_whole:
            raise ImageRefused("cannot be unpacked: it has a link where the sandbox needs a folder")


async def _give_to_root(root: Path) -> None:
    """Make root the owner, so that no sandbox's uid owns the files. That also removes setuid bits."""
    if os.geteuid() != 0:
        return
    process = await asyncio.create_subprocess_exec(
        *("chown", "-R", "-h", "-P", "--", "0:0", str(root)), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if code != 0:
        raise SandboxError("The files of an image could not be given to root.")
