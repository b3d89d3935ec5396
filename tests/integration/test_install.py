"""The runtime's installation is complete or absent, even if killed or run twice; and it refuses hostile archives."""

import asyncio
import io
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path

import pytest

from agentcontainer.errors import SettingsError
from agentcontainer.runtime.install import COMMANDS, check, install, share_dir
from agentcontainer.runtime.packages import unpack

INSTALL = """
import os, sys
from pathlib import Path
from agentcontainer.runtime.install import install
os.umask(0o077)
print(install(Path(sys.argv[1])))
"""


async def start(share: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", INSTALL, str(share), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )


@pytest.mark.long
async def test_a_killed_and_two_concurrent_installs_leave_one_complete_runtime(short_dir: Path) -> None:
    check()
    share = short_dir / "prefix/share/agentcontainer"
    shutil.copytree(share_dir() / "tarballs", share / "tarballs")  # so that nothing is fetched

    killed = await start(share)
    async with asyncio.timeout(30):
        while not list(share.glob(".building-*/pi/package.json")):
            await asyncio.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    await killed.wait()
    assert not (share / "runtime").exists()
    assert list(share.glob(".building-*"))

    outputs = [await process.communicate() for process in [await start(share), await start(share)]]
    target = (share / "runtime").resolve()
    assert [stdout.decode().strip() for stdout, _ in outputs] == [str(share / target.name)] * 2
    assert sorted(path.name for path in share.iterdir()) == [".lock", "runtime", target.name, "tarballs"]
    for path in (share.parent, share, target, *target.rglob("*")):
        assert path.stat().st_mode & 0o004, path
        assert not path.is_dir() or path.stat().st_mode & 0o001, path
    for command in COMMANDS:
        assert os.access(target / "bin" / command, os.X_OK)

    before = (share / "runtime").lstat()
    assert install(share) == share / target.name
    assert (share / "runtime").lstat() == before


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("package/../../outside", tarfile.REGTYPE),
        ("package/link", tarfile.SYMTYPE),
        ("package/link", tarfile.LNKTYPE),
        ("package/fifo", tarfile.FIFOTYPE),
        ("package", tarfile.REGTYPE),
    ],
)
def test_a_tarball_with_other_than_regular_files_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    tarball = tmp_path / "package.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(SettingsError, match="not a regular file"):
        unpack(tarball, tmp_path / "to" / "here")
    assert not (tmp_path / "outside").exists()
