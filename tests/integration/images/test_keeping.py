"""Images from a real registry: pinned, pulled once, verified, unpacked without harm whatever is in them, cleaned."""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcontainer.images.access import Access
from agentcontainer.images.cleaning import CacheLimits, clean
from agentcontainer.images.faults import ImageRefused
from agentcontainer.sandbox.contract import IMAGE_FOLDERS, Internet
from tests import oci
from tests.oci import Entry, Gate, Layout, Registry
from tests.ordinary_user import as_ordinary_user, home_in

from .conftest import FIELD, HUGE, YEAR, Bed, at


def long(value: str) -> Any:
    return pytest.param(value, marks=pytest.mark.long)


async def test_a_moved_tag_does_not_change_a_version(bed: Bed, registry: Registry, good: Layout) -> None:
    name = f"{registry.host}/team/moving:1"
    registry.push(good, "team/moving:1")
    pinned = await bed.lookup.pin(name, FIELD)
    assert pinned == f"{name}@{good.digest}"
    other = Layout(bed.folder / "other", [oci.system(), oci.layer([Entry("usr/share/greeting", b"other\n")])])
    registry.push(other, "team/moving:1")
    assert await bed.lookup.pin(name, FIELD) == f"{name}@{other.digest}"
    assert await bed.lookup.pin(pinned, FIELD) == pinned
    async with bed.images.use(pinned) as image:
        assert await bed.run(image, "cat", "/usr/share/greeting") == oci.GREETING
    async with bed.images.use(f"{name}@{other.digest}") as image:
        assert await bed.run(image, "cat", "/usr/share/greeting") == "other\n"


async def test_an_agent_sees_the_image_and_not_the_host(bed: Bed, registry: Registry, good: Layout) -> None:
    async with bed.images.use(at(registry, good)) as image:
        files = await bed.run(
            image, "sh", "-c", "ls /usr/bin; ls /usr/share; ls -d /etc/* /home /root /usr/lib/python3"
        )
        assert {"bash", "cat", "greeting", "/etc/passwd"} <= set(files.split())
        assert not {"python3", "git", "apt", "/etc/alternatives", "/home", "/root"} & set(files.split())
        output = await bed.run(
            image, "sh", "-c", 'echo "$FOO $PATH $LANG"; id; cat /etc/hosts; echo x > /tmp/x; cat /var/tmp/x'
        )
        assert output.startswith("bar /opt/agentcontainer/bin:/opt/tool/bin:/usr/bin:/bin:/usr/local/bin:")
        assert ":/usr/sbin:/sbin C\nuid=1000(agent)" in output
        assert "localhost sandbox" in output and output.endswith("x\n")
        tries = "; ".join(f"touch {path}/x" for path in ("", "/usr", "/etc", "/opt", "/run", "/dev", "/var"))
        assert (await bed.run(image, "sh", "-c", tries)).count("Read-only file system") == 7
        assert "Usage:" in await bed.run(image, "finish", "--help")
        named = Internet(("named.test",))
        assert await bed.run(image, "cat", "/etc/resolv.conf", internet=named) == "nameserver 127.0.0.1\n"


async def test_several_at_once_pull_once_and_share(bed: Bed, registry: Registry, good: Layout) -> None:
    before = registry.pulls()
    async with contextlib.AsyncExitStack() as stack:
        using = [stack.enter_async_context(bed.images.use(at(registry, good))) for _ in range(4)]
        first, *remaining = await asyncio.gather(*using)
        assert registry.pulls() - before == 2  # its layer and its configuration
        inodes = [await bed.run(image, "ls", "-i", "/usr/bin/bash") for image in (first, remaining[0])]
        assert inodes[0] == inodes[1] == f"{(first.root / 'usr/bin/bash').stat().st_ino} /usr/bin/bash\n"
    assert bed.stored == {good.digest[7:]}


@pytest.mark.parametrize("kind", ["index", long("oci"), long("oci-index"), "docker-archive"])
async def test_an_image_can_come_from_every_kind_of_source(
    bed: Bed, registry: Registry, folder: Path, kind: str
) -> None:
    image = Layout(folder / f"kind-{kind}", [oci.system()], ["KIND=" + kind], is_index="index" in kind)
    name = {
        "index": f"{registry.host}/team/index:1",
        "oci": f"oci:{image.folder}:latest",
        "oci-index": f"oci:{image.folder}",
        "docker-archive": f"docker-archive:{folder}/archive.tar",
    }[kind]  # fmt: skip
    if kind == "index":
        registry.push(image, "team/index:1")
    if kind == "docker-archive":
        image.copy_to(f"docker-archive:{folder}/archive.tar:team/tool:1")
    pinned = await bed.lookup.pin(name, FIELD)
    assert pinned.startswith(f"{name}@sha256:")
    if kind != "docker-archive":
        assert pinned == f"{name}@{image.digest}"
    async with bed.images.use(pinned) as used:
        assert await bed.run(used, "sh", "-c", 'echo "$KIND"') == f"{kind}\n"


async def test_a_path_that_changed_is_not_what_was_pinned(bed: Bed, folder: Path) -> None:
    image = Layout(folder / "changing", [oci.system()])
    pinned = await bed.lookup.pin(f"oci:{image.folder}", FIELD)
    shutil.rmtree(image.folder)
    Layout(image.folder, [oci.system()], ["NEW=1"])
    with pytest.raises(ImageRefused, match="has changed: its digest is no longer"):
        async with bed.images.use(pinned):
            pass
    assert bed.stored == set()


TRICKS = [
    Entry("usr/bin/suid", b"#!/bin/sh\nid\n", 0o6755),
    Entry("closed", kind=tarfile.DIRTYPE, mode=0o000),
    Entry("closed/file", b"x", 0o000),
    Entry("open", kind=tarfile.DIRTYPE, mode=0o7777),
    Entry("etc", kind=tarfile.SYMTYPE, target="/"),
    Entry("opt", kind=tarfile.SYMTYPE, target="../../../../../.."),
    Entry("tmp", kind=tarfile.SYMTYPE, target="/usr"),
    Entry("run", b"a file"),
    Entry("proc", kind=tarfile.SYMTYPE, target="/proc/self/root"),
    Entry("workspace", kind=tarfile.FIFOTYPE),
    Entry("var", kind=tarfile.SYMTYPE, target="/tmp"),
    Entry("../../../../../../../../tmp/ac-escaped-1", b"x"),
    Entry("/tmp/ac-escaped-2", b"x"),
    Entry("tmp/ac-escaped-3", b"x"),
    Entry("out", kind=tarfile.SYMTYPE, target="/tmp"),
    Entry("out/ac-escaped-4", b"x"),
    Entry("usr/up", kind=tarfile.SYMTYPE, target="../../../../../../../tmp"),
    Entry("usr/up/ac-escaped-5", b"x"),
    Entry("null", kind=tarfile.CHRTYPE, mode=0o666),
    Entry("fifo", kind=tarfile.FIFOTYPE),
    Entry("line\nbreak", b"x"),
    Entry(".wh.usr/../../../../../../../../tmp", b""),
    Entry("out/.wh.ac-kept", b""),
]


async def test_a_hostile_image_writes_nothing_outside_its_folder(bed: Bed, registry: Registry) -> None:
    outside = Path("/tmp/ac-kept")
    outside.write_text("kept")
    try:
        layout = Layout(bed.folder / "hostile", [oci.system(), oci.layer(TRICKS)])
        registry.push(layout, "team/hostile:1")
        async with bed.images.use(at(registry, layout, "team/hostile:1")) as image:
            assert outside.read_text() == "kept"
            assert list(Path("/tmp").glob("ac-escaped-*")) == []
            for name in IMAGE_FOLDERS:
                assert stat.S_ISDIR((image.root / name).lstat().st_mode)
            for path in image.root.rglob("*"):
                status = path.lstat()
                assert status.st_uid == os.geteuid()
                if not stat.S_ISLNK(status.st_mode):
                    assert not status.st_mode & 0o7022, path
                    assert not stat.S_ISCHR(status.st_mode)
            output = await bed.run(
                image, "sh", "-c", "cat /closed/file /etc/hosts; ls /out /opt; suid; echo x > /tmp/mine"
            )
            assert output.startswith("x127.0.0.1 localhost")
            assert "uid=1000(agent) gid=1000(agent)" in output and "agentcontainer" in output
            assert "ac-kept" not in output
    finally:
        outside.unlink()


@pytest.mark.parametrize(
    "target", ["/etc/shadow", long("../../../../../../../../etc/shadow"), long("usr/up/etc/shadow")]
)
async def test_a_hard_link_out_of_an_image_is_refused(bed: Bed, registry: Registry, target: str) -> None:
    layers = [oci.system(), oci.layer([Entry("usr/up", kind=tarfile.SYMTYPE, target="/"),
                                       Entry("stolen", kind=tarfile.LNKTYPE, target=target)])]  # fmt: skip
    image = Layout(bed.folder / "linked", layers)
    registry.push(image, "team/linked:1")
    with pytest.raises(ImageRefused, match="cannot be unpacked"):
        async with bed.images.use(at(registry, image, "team/linked:1")):
            pass
    assert bed.stored == set()


async def test_an_image_that_unpacks_to_too_many_bytes_is_refused(bed: Bed, registry: Registry) -> None:
    image = Layout(bed.folder / "bomb", [oci.system(), oci.layer([Entry("zeros", bytes(200 * 1024**2))])])
    registry.push(image, "team/bomb:1")
    pinned = await bed.lookup.pin(f"{registry.host}/team/bomb:1", FIELD)
    with pytest.raises(ImageRefused, match="AGENTCONTAINER_MAX_IMAGE_BYTES"):
        async with bed.images.use(pinned):
            pass
    assert bed.stored == set()


FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(57)
BLAMING = b"#!/bin/bash\necho mount: refused >&2\n"
ENDLESS = b"#!/bin/bash\nprintf %040000000d 0\n"  # one line that is longer than a reader's buffer
SHORT = ("musl", "no libstdc++", "no shell")
UNFIT = {
    "musl": (lambda: [oci.system(loader="usr/lib/ld-musl-x86_64.so.1")], "is made with musl"),
    "no libstdc++": (lambda: [oci.system(without="libstdc++")], "lacks libstdc"),
    "old glibc": (lambda: [oci.system(forget=b"GLIBC_2.28")], "glibc.* too old"),
    "no shell": (lambda: [oci.layer([Entry("hello", b"x")])], "no shell"),
    "a shell for another machine": (lambda: [oci.layer([Entry("bin/sh", FOREIGN)])], "no shell"),
    "a shell whose line has no end": (lambda: [oci.system(), oci.layer([Entry("usr/bin/sh", ENDLESS)])], "no shell"),
    "a shell that blames us": (lambda: [oci.system(), oci.layer([Entry("usr/bin/sh", BLAMING)])], "no shell"),
}  # fmt: skip


@pytest.mark.parametrize("defect", [defect if defect in SHORT else long(defect) for defect in UNFIT])
async def test_an_image_in_which_node_does_not_run_is_refused_and_the_refusal_cached(
    bed: Bed, registry: Registry, defect: str
) -> None:
    layers, sentence = UNFIT[defect]
    image = Layout(bed.folder / "unfit", layers())
    registry.push(image, "team/unfit:1")
    pulls: list[int] = []
    for _ in range(2):
        with pytest.raises(ImageRefused, match=sentence):
            async with bed.images.use(at(registry, image, "team/unfit:1")):
                pass
        pulls.append(registry.pulls())
    assert pulls[0] == pulls[1]
    assert not (bed.images.folder / image.digest[7:] / "root").exists()
    if defect == "no shell":  # not for ever: the fault may have been this host's
        os.utime(bed.images.folder / image.digest[7:] / "image.json", (time.time() - 7200,) * 2)
        with pytest.raises(ImageRefused, match=sentence):
            async with bed.images.use(at(registry, image, "team/unfit:1")):
                pass
        assert registry.pulls() > pulls[1]


async def test_a_corporate_image_passes_the_trial_that_does_what_a_task_does(
    bed: Bed, registry: Registry
) -> None:
    variables = [
        "http_proxy=http://10.0.0.1:3128",
        "HTTPS_PROXY=http://10.0.0.1:3128",
        "PATH=/opt/corporate/bin",
    ]
    image = Layout(bed.folder / "corporate", [oci.system()], variables)
    registry.push(image, "team/corporate:1")
    async with bed.images.use(at(registry, image, "team/corporate:1")) as fetched:
        # A tool of the image's, by a PATH of the image's that lacks /bin.
        assert await bed.run(fetched, "cat", "/usr/share/greeting") == oci.GREETING
        unhelped = replace(fetched, variables={**fetched.variables, "no_proxy": "", "NO_PROXY": ""})
        assert unhelped.env({})["no_proxy"] == "127.0.0.1,localhost,::1"


def _runtime(folder: Path, script: str) -> Path:
    """Another version of our runtime, in which node is this."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/node").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin/node").chmod(0o755)
    return folder


async def test_another_runtime_is_tried_beside_the_one_in_use_without_a_pull(
    bed: Bed, registry: Registry, good: Layout
) -> None:
    other, broken = (
        _runtime(bed.folder / "other", "echo trial passed"),
        _runtime(bed.folder / "broken", "exit 1"),
    )
    async with bed.images.use(at(registry, good)) as image:
        before = registry.pulls()
        async with replace(bed.images, runtime=other).use(at(registry, good)) as same:
            assert same.root == image.root
        with pytest.raises(ImageRefused, match="does not start our node"):
            async with replace(bed.images, runtime=broken).use(at(registry, good)):
                pass
        assert await bed.run(image, "cat", "/usr/share/greeting") == oci.GREETING
    async with bed.images.use(at(registry, good)):
        assert registry.pulls() == before


async def test_cleaning_removes_the_longest_unused_but_none_in_use(
    bed: Bed, registry: Registry, good: Layout
) -> None:
    long_ago = time.time() - 7200
    other = Layout(bed.folder / "other", [oci.system()], ["OTHER=1"])
    registry.push(other, "team/other:1")
    async with bed.images.use(at(registry, good)):
        async with bed.images.use(at(registry, other, "team/other:1")):
            assert await clean(bed.images.folder, CacheLimits(-1, 0)) == []
        os.utime(bed.images.folder / other.digest[7:] / "image.json", (long_ago, long_ago))
        assert await clean(bed.images.folder, CacheLimits(YEAR, HUGE)) == []
        assert await clean(bed.images.folder, CacheLimits(3600, HUGE)) == [other.digest[7:]]
    (bed.images.folder / ("0" * 64)).mkdir()  # half removed by a process that was killed
    assert await clean(bed.images.folder, CacheLimits(YEAR, HUGE)) == ["0" * 64]
    async with bed.images.use(at(registry, other, "team/other:1")):
        pass
    os.utime(bed.images.folder / good.digest[7:] / "image.json", (long_ago, long_ago))
    assert await clean(bed.images.folder, CacheLimits(YEAR, 12 * 1024**2)) == [good.digest[7:]]
    assert bed.stored == {other.digest[7:]}
    async with bed.images.use(at(registry, good)) as image:  # pulled again
        assert await bed.run(image, "cat", "/usr/share/greeting") == oci.GREETING


async def test_a_pull_that_is_cancelled_leaves_nothing(bed: Bed, registry: Registry, good: Layout) -> None:
    gate = Gate(registry.host)
    try:
        images = replace(bed.images, access=Access({gate.host: "host without TLS"}, ()))

        async def pull() -> None:
            async with images.use(f"{gate.host}/team/good@{good.digest}"):
                pass

        first, second = asyncio.create_task(pull()), asyncio.create_task(pull())
        await asyncio.to_thread(gate.was_hit.wait, 60)
        first.cancel()
        await asyncio.wait([first])
        gate.is_open.set()
        await second  # it waited for the first, and now pulls the image itself
    finally:
        gate.close()
    assert bed.stored == {good.digest[7:]}


ORDINARY = """
import asyncio, os, sys
from pathlib import Path
from agentcontainer.images.access import Access
from agentcontainer.images.cleaning import CacheLimits, clean
from agentcontainer.images.keeping import Images
from agentcontainer.images.starting import start
from agentcontainer.runtime import install
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec

home, host, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
limits = Limits(2**29, 64, 2.0)
(home / "scratch").mkdir()
sandboxes = Bubblewrap(0, home / "locks")
access = Access({host: "host without TLS"}, ())
images = Images(sandboxes, access, home / "images", home / "scratch", install.runtime_dir(), limits, {"LANG": "C"},
                60 * 1024**2)

async def main():
    async with images.use(name) as image:
        root = home / "scratch/run"
        for part in ("workspace", "sockets"): (root / part).mkdir(parents=True)
        spec = Spec(f"ordinary-{os.getpid()}", root, images.runtime, limits, image.env({}), image=image.root)
        script = "id -u; cat /usr/share/greeting; cat /closed/file; touch /usr/x"
        sandbox = await start(sandboxes, spec, ["sh", "-c", script])
        print((await sandbox.stdout.read() + await sandbox.stderr.read()).decode())
        await sandbox.destroy()
    print(os.getuid(), sorted(path.name for path in (home / "scratch").iterdir()))
    print(len(await clean(images.folder, CacheLimits(-1, 0))), [path.name for path in images.folder.iterdir()])

asyncio.run(main())
"""


def test_an_ordinary_user_has_images_too(short_dir: Path, registry: Registry) -> None:
    image = Layout(short_dir / "layout", [oci.system(), oci.layer(TRICKS)])
    name = registry.push(image, "team/ordinary:1")
    home = home_in(short_dir)
    command = as_ordinary_user([sys.executable, "-c", ORDINARY, str(home), registry.host, name])
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"1000\n{oci.GREETING}x"), done.stdout
    assert "Read-only file system" in done.stdout
    assert done.stdout.endswith("65534 ['run']\n1 ['locks']\n"), done.stdout
