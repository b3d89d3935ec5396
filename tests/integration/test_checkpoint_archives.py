"""Corrupt or hostile checkpoint archives are refused, and nothing is written outside the workspace."""

import contextlib
import functools
import io
import os
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zstandard

from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt
from tests.integration.checkpoint_bed import KEY, Bed, checkpoint_of_noise, opened_bed

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    async with opened_bed() as bed:
        yield bed


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.9999999])
async def test_a_corrupted_archive_is_refused_before_unpacking(bed: Bed, fraction: float) -> None:
    checkpoint = await checkpoint_of_noise(bed)
    with bed.stored()[0].open("r+b") as file:
        file.seek(int(checkpoint.size_bytes * fraction))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    assert "not those that were saved" in await bed.refused(checkpoint)


@pytest.mark.parametrize("size", [0, 1000, -1, 1])
async def test_a_blob_of_the_wrong_size_is_refused(bed: Bed, size: int) -> None:
    checkpoint = await checkpoint_of_noise(bed)
    os.truncate(bed.stored()[0], checkpoint.size_bytes + size if size in (-1, 1) else size)
    assert "not those that were saved" in await bed.refused(checkpoint)


async def test_a_missing_blob_is_reported(bed: Bed) -> None:
    checkpoint = await checkpoint_of_noise(bed)
    bed.stored()[0].unlink()
    assert "missing from the object store" in await bed.refused(checkpoint)


async def test_an_archive_that_unpacks_to_another_size_is_refused(bed: Bed) -> None:
    tar = _tar(_entry("f", content=b"x" * 10_000))
    whole = await bed.store(zstandard.compress(tar))
    right = Checkpoint("x", KEY, whole.size_bytes, whole.sha256, len(tar))
    await bed.restore(right)
    assert (bed.root / "workspace/f").read_text() == "x" * 10_000
    for unpacked, why in ((len(tar) - 1, "more than was saved"), (len(tar) + 1, "too early")):
        assert why in await bed.refused(Checkpoint("x", KEY, whole.size_bytes, whole.sha256, unpacked))


def _entry(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **facts: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info, content


def _tar(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _hostile(outside: str) -> dict[str, Callable[[], bytes]]:
    """Functions that make each archive, because the bomb alone takes a second."""
    link = _entry("out", tarfile.SYMTYPE, linkname=outside)
    entries = {
        "an absolute name": [_entry(f"{outside}/evil", content=b"evil")],
        "a system file": [_entry("/etc/passwd", content=b"evil"), _entry("/usr/bin/evil", content=b"evil")],
        "a way up": [_entry("../../../../../" + outside + "/evil", content=b"evil")],
        "a file through a link": [link, _entry("out/evil", content=b"evil")],
        "a link, then a folder": [link, _entry("out", tarfile.DIRTYPE, mode=0o777)],
        "a hard link out": [_entry("evil", tarfile.LNKTYPE, linkname=f"{outside}/secret")],
        "a hard link to a system file": [_entry("evil", tarfile.LNKTYPE, linkname="/usr/bin/env")],
        "a device": [_entry("disk", tarfile.BLKTYPE, devmajor=254, devminor=1, mode=0o666)],
        "a character device": [_entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666)],
        "another owner": [_entry("evil", content=b"x", uid=0, gid=0, mode=0o6777, uname="root")],
        "a huge number as owner": [_entry("evil", content=b"x", uid=2**40)],
        "a path too long to open": [_entry("d/" * 3000 + "f", content=b"x")],
    }
    return {name: functools.partial(_tar, *content) for name, content in entries.items()} | {
        "no tar": lambda: b"nothing of the kind" * 1000,
        "an empty tar": lambda: b"",
        "a tar without its end": lambda: _tar(_entry("f", content=b"x" * 5000))[:3000],
        "a bomb": lambda: zstandard.ZstdCompressor(3).compress(bytes(2 * 1024**3)),
    }


@pytest.mark.parametrize("trick", list(_hostile("/x")))
async def test_a_hostile_archive_writes_nothing_outside_the_workspace(bed: Bed, trick: str) -> None:
    """Even an archive whose digest matches its row."""
    outside = bed.folder / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "secret").write_text("the host's")
    content = _hostile(str(outside))[trick]()
    is_packed = content.startswith(b"\x28\xb5\x2f\xfd")
    checkpoint = await bed.store(content if is_packed else zstandard.compress(content))
    if not is_packed:
        checkpoint = Checkpoint("x", KEY, checkpoint.size_bytes, checkpoint.sha256, len(content))
    inodes = {os.stat(path).st_nlink for path in ("/usr/bin/env", outside / "secret")}
    with contextlib.suppress(CheckpointCorrupt):
        await bed.restore(checkpoint)
    assert os.listdir(outside) == ["secret"] and (outside / "secret").read_text() == "the host's"
    assert (outside / "secret").stat().st_mode & 0o777 == 0o644 and outside.stat().st_mode & 0o777 == 0o777
    assert inodes == {os.stat(path).st_nlink for path in ("/usr/bin/env", outside / "secret")} == {1}
    assert not Path("/usr/bin/evil").exists() and "evil" not in Path("/etc/passwd").read_text()
    for path in bed.root.rglob("*"):
        assert not path.is_block_device() and not (path.is_char_device() and path.lstat().st_rdev)
        assert path.lstat().st_uid != 0 or os.geteuid() != 0 or "sockets" in path.parts
    bed.is_clean()


@pytest.mark.parametrize("trick", ["no tar", "a tar without its end", "a bomb", "a device", "a way up"])
async def test_an_archive_that_tar_cannot_read_leaves_no_files(bed: Bed, trick: str) -> None:
    content = _hostile("/nowhere")[trick]()
    checkpoint = await bed.store(content if trick == "a bomb" else zstandard.compress(content))
    assert str(bed.folder) not in await bed.refused(checkpoint)


async def test_an_archive_with_a_large_compression_window_is_refused(bed: Bed) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    checkpoint = await bed.store(
        packer.compress(_tar(_entry("f", content=os.urandom(10**6)))) + packer.flush()
    )
    assert "decompressed" in await bed.refused(checkpoint)
