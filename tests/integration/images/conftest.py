"""A runner's images, the API's lookup, and a registry for both."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentcontainer import settings
from agentcontainer.images.access import Access
from agentcontainer.images.keeping import Images
from agentcontainer.images.lookup import Lookup
from agentcontainer.images.starting import Image, start
from agentcontainer.runtime import install
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Internet, Limits, Spec
from tests import oci
from tests.oci import Layout, Registry
from tests.uids import UID_BASE

LIMITS = Limits(memory_bytes=512 * 1024**2, pids=64, cpus=2.0)
MAX_BYTES = 60 * 1024**2
HUGE = 10**12
YEAR = 365 * 86_400
FIELD = "runtime.containerImage"


@dataclass
class Bed:
    """A runner's images in a folder of this test's own, and the API's lookup."""

    folder: Path
    images: Images
    lookup: Lookup

    @property
    def stored(self) -> set[str]:
        """Digests of the images that are there."""
        return {path.name for path in self.images.folder.iterdir()} - {"locks"}

    async def run(self, image: Image, *argv: str, internet: Internet | None = None) -> str:
        """The output of a command in a sandbox of the image."""
        root = self.images.scratch / f"run-{os.urandom(6).hex()}"
        for part in ("workspace", "sockets"):
            (root / part).mkdir(parents=True)
        spec = Spec(
            root.name,
            root,
            self.images.runtime,
            LIMITS,
            image.env({"LANG": "C"}),
            image=image.root,
            internet=internet,
        )
        sandbox = await start(self.images.sandboxes, spec, argv)
        sandbox.stdin.close()
        out, err = await asyncio.gather(sandbox.stdout.read(), sandbox.stderr.read())
        await sandbox.destroy()
        shutil.rmtree(root)
        return (out + err).decode()


@pytest.fixture(scope="package")
def folder() -> Iterator[Path]:
    with oci.own_folder() as path:
        yield path


@pytest.fixture(scope="package")
def registry(folder: Path) -> Iterator[Registry]:
    with oci.registry(folder) as running:
        yield running


@pytest.fixture(scope="package")
def good(folder: Path, registry: Registry) -> Layout:
    """An image that works: `team/good:1`."""
    made = Layout(folder / "good", [oci.system()], ["PATH=/opt/tool/bin:/usr/bin:/bin", "FOO=bar"])
    registry.push(made, "team/good:1")
    return made


@pytest.fixture
async def bed(folder: Path, registry: Registry) -> AsyncIterator[Bed]:
    with oci.own_folder() as own:
        configured = settings.load(
            data_dir=own / "data", image_registries=f"http://{registry.host}", image_folders=str(folder),
            max_image_bytes=MAX_BYTES, sandbox_uid_base=UID_BASE,
        )  # fmt: skip
        (own / "data/scratch").mkdir(parents=True, mode=0o700)
        images = Images(
            Bubblewrap(UID_BASE, own / "locks"), Access.of(configured), own / "data/images", own / "data/scratch",
            install.runtime_dir(), LIMITS, {"LANG": "C"}, MAX_BYTES,
        )  # fmt: skip
        yield Bed(own, images, Lookup(configured))
        assert list((own / "data/scratch").iterdir()) == []


def at(registry: Registry, image: Layout, name: str = "team/good:1") -> str:
    return f"{registry.host}/{name}@{image.digest}"
