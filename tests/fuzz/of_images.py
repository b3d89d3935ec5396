"""What names an image, and what a registry says of one."""

import json

from agentcontainer.images import manifest, reference
from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.manifest import Index, Manifest
from tests.fuzz.target import Target

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
MANIFEST = {
    "schemaVersion": 2,
    "config": {"digest": DIGEST, "size": 2},
    "layers": [{"mediaType": manifest.LAYERS[0], "digest": DIGEST, "size": 3}],
}
INDEX = {
    "mediaType": manifest.INDEXES[0],
    "manifests": [
        {"digest": DIGEST, "size": 1, "platform": {"os": "linux", "architecture": one}}
        for one in ("amd64", "arm64")
    ],
}
CONFIG = {"os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/usr/bin", "NODE_OPTIONS=-r /x"]}}


def image_name(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = reference.parse(text)
    except ImageRefused:
        return
    assert reference.parse(str(found)) == found
    assert reference.parse(str(found.pinned(DIGEST))).digest == DIGEST
    assert not str(found).startswith("-") and ".." not in found.name.split("/")
    if found.registry is not None:
        assert found.name == found.name.lower() and found.name.count("/") >= 1


def image_document(data: bytes) -> None:
    for read_it in (manifest.read, manifest.check_config, manifest.variables):
        try:
            found = read_it(data)
        except ImageRefused as refused:
            found = str(refused)
        if isinstance(found, str):
            assert len(found) < 1500 and found.isprintable()
        elif isinstance(found, Manifest):
            digests = [found.config.digest, *(layer.digest for layer in found.layers)]
            assert all(len(digest) == len(DIGEST) for digest in digests)
        elif isinstance(found, Index):
            assert all(len(digest) == len(DIGEST) for digest in found.fitting)
        elif isinstance(found, dict):
            assert not any(name.startswith(("NODE_", "PI_")) for name in found)
            assert not any("\0" in value for value in found.values())


TARGETS = (
    Target(
        "image-names",
        image_name,
        (
            b"python:3.12",
            b"ghcr.io/x/y@" + DIGEST.encode(),
            b"oci:/srv/images/a:b",
            b"docker-archive:/a.tar:x/y:z",
        ),
    ),
    Target(
        "image-documents",
        image_document,
        tuple(json.dumps(one).encode() for one in (MANIFEST, INDEX, CONFIG)),
    ),
)
