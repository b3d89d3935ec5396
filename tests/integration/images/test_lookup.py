"""Lookup of a named image: refusals, unavailable registries, and which hosts are contacted."""

import asyncio
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from agentcontainer import settings
from agentcontainer.errors import Unavailable, ValidationError
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageUnreachable
from agentcontainer.images.lookup import Lookup
from agentcontainer.proxies import Proxies
from tests import internet, oci
from tests.oci import Layout, Registry

from .conftest import FIELD, MAX_BYTES, Bed


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{host}/team/missing:1", "does not exist in {host}"),
        ("{host}/team/good:2", "does not exist in {host}"),
        ("{host}/team/good@sha256:" + "0" * 64, "does not exist in {host}"),
        ("example.org/x:1", "names the registry example.org, which is not allowed here; allowed are: {host}"),
        ("169.254.169.254/x:1", "not allowed here"),
        ("python:3.12", "names the registry docker.io"),
        ("oci:/etc", "names no folder below an allowed folder"),
        ("docker-archive:/etc/passwd", "names no file"),
        ("oci:{folder}/good:2", "cannot be read"),
        ("oci:{folder}/not-one", "cannot be read"),
        ("docker-archive:{folder}/config.yml", "cannot be read"),
        ("Team/Good", "must be the name of an image"),
    ],
)  # fmt: skip
async def test_an_unusable_image_is_refused_when_it_is_named(
    bed: Bed, registry: Registry, good: Layout, folder: Path, name: str, sentence: str
) -> None:
    (folder / "not-one").mkdir(exist_ok=True)
    placeholders = {"host": registry.host, "folder": folder}
    with pytest.raises(ValidationError) as refused:
        await bed.lookup.pin(name.format(**placeholders), FIELD)
    assert refused.value.details[0].path == FIELD
    assert sentence.format(**placeholders) in str(refused.value)
    assert str(bed.folder) not in str(refused.value)


async def test_an_image_for_another_machine_or_too_large_is_refused_when_it_is_named(
    bed: Bed, registry: Registry, folder: Path
) -> None:
    other = Layout(bed.folder / "s390x", [oci.layer([])], architecture="s390x")
    registry.push(other, "team/s390x:1")
    with pytest.raises(ValidationError, match="is made for linux/s390x, but this host is linux/"):
        await bed.lookup.pin(f"{registry.host}/team/s390x:1", FIELD)
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + "0" * 64}
    large = Layout(folder / "large", [], changes={"layers": [layer | {"size": MAX_BYTES + 1}]})
    with pytest.raises(ValidationError, match="AGENTCONTAINER_MAX_IMAGE_BYTES"):
        await bed.lookup.pin(f"oci:{large.folder}", FIELD)


async def test_an_unreachable_registry_is_unavailable_and_no_client_error(bed: Bed) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        lookup = Lookup(settings.load(data_dir=bed.folder / "data", image_registries=f"http://{host}"))
        with pytest.raises(Unavailable, match=f"the registry {host} cannot be reached"):
            await lookup.pin(f"{host}/x:1", FIELD)
        images = replace(bed.images, access=Access({host: "host without TLS"}, ()))
        with pytest.raises(ImageUnreachable, match="cannot be reached"):
            async with images.use(f"{host}/x@sha256:{'0' * 64}"):
                pass


REACHING = """
import asyncio, json, logging, sys
from pathlib import Path
from agentcontainer import settings
from agentcontainer.errors import Unavailable
from agentcontainer.images.lookup import Lookup

said = {}
class Keep(logging.Handler):
    def emit(self, record):
        said[host] = record.getMessage()
logging.getLogger("agentcontainer.images").addHandler(Keep())
logging.getLogger("agentcontainer.images").setLevel(logging.INFO)
for host in sys.argv[2:]:
    try:
        asyncio.run(Lookup(settings.load(data_dir=Path(sys.argv[1]), image_registries=host)).pin(f"{host}/x:1", "x"))
    except Unavailable:
        pass
print(json.dumps(said))
"""


@pytest.mark.xdist_group("internet")
def test_a_registry_on_the_internet_is_reached_at_public_addresses_only(
    short_dir: Path, tmp_path: Path
) -> None:
    inside = ["private.test", internet.METADATA, "127.0.0.1:8080"]
    with internet.world(tmp_path) as world:
        command = [sys.executable, "-c", REACHING, str(short_dir), "public.test", *inside]
        output = internet.answer(world.inside(command))
    assert "TLS handshake" in str(
        output["public.test"]
    )  # what answers there speaks no TLS; skopeo insists on it
    for host in inside:
        assert "TLS handshake" not in str(output[host]) and "dial tcp" in str(output[host])


WITHOUT = """
import asyncio, sys
from pathlib import Path
from agentcontainer import settings
from agentcontainer.errors import Unavailable
from agentcontainer.images.lookup import Lookup
try:
    asyncio.run(Lookup(settings.load(data_dir=Path(sys.argv[1]))).pin("python:3.12", "x"))
except Unavailable as error:
    print(error)
"""


def test_a_host_without_skopeo_says_which_package_is_missing(short_dir: Path) -> None:
    hide = 'mount --bind /dev/null "$(command -v skopeo)"; exec "$@"'
    command = ["unshare", "--mount", "sh", "-euc", hide, "sh", sys.executable, "-c", WITHOUT, str(short_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "The image cannot be read: this host has no skopeo (apt install skopeo).\n"


def own_address() -> str:
    """An address of this host that is not loopback."""
    addresses = [entry for entries in psutil.net_if_addrs().values() for entry in entries]
    return next(
        entry.address
        for entry in addresses
        if entry.family == socket.AF_INET and not entry.address.startswith("127.")
    )


async def test_behind_a_proxy_a_registry_is_reached_through_it_and_nothing_else(bed: Bed) -> None:
    seen: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "0.0.0.0", 0)
    async with server:
        proxy = f"http://{own_address()}:{server.sockets[0].getsockname()[1]}"
        allowed = settings.load(data_dir=bed.folder / "data", image_registries="registry.example")
        access = replace(Access.of(allowed), proxies=Proxies(https=proxy))
        lookup = Lookup(allowed, access)
        with pytest.raises(Unavailable, match="registry"):
            await lookup.pin("registry.example/team/app:1", FIELD)
        assert set(seen) == {b"CONNECT registry.example:443 HTTP/1.1\r\n"}

        locked = Lookup(
            allowed, replace(access, proxies=Proxies(https=proxy.replace("//", "//user:secret@")))
        )
        with pytest.raises(Unavailable, match="needs a password") as refused:
            await locked.pin("registry.example/team/app:1", FIELD)
        assert "secret" not in str(refused.value)
