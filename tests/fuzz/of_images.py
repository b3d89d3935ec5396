"""Fuzz targets: image names and the documents of registries."""

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
        {"digest": DIGEST, "size": 1, "platform": {"os": "linux", "architecture": item}}
        for item in ("amd64", "arm64")
    ],
}
CONFIG = {"os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/usr/bin", "NODE_OPTIONS=-r /x"]}}


def image_name(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        parsed = reference.parse(text)
    except ImageRefused:
        return
    assert reference.parse(str(parsed)) == parsed
    assert reference.parse(str(parsed.pinned(DIGEST))).digest == DIGEST
    assert not str(parsed).startswith("-") and ".." not in parsed.name.split("/")
    if parsed.registry is not None:
        assert parsed.name == parsed.name.lower() and parsed.name.count("/") >= 1


def image_document(data: bytes) -> None:
    for read_it in (manifest.read, manifest.check_config, manifest.variables):
        try:
            parsed = read_it(data)
        except ImageRefused as refused:
            parsed = str(refused)
        if isinstance(parsed, str):
            assert len(parsed) < 1500 and parsed.isprintable()
        elif isinstance(parsed, Manifest):
            digests = [parsed.config.digest, *(layer.digest for layer in parsed.layers)]
            assert all(len(digest) == len(DIGEST) for digest in digests)
        elif isinstance(parsed, Index):
            assert all(len(digest) == len(DIGEST) for digest in parsed.fitting)
        elif isinstance(parsed, dict):
            assert not any(name.startswith(("NODE_", "PI_")) for name in parsed)
            assert not any("\0" in value for value in parsed.values())


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
        tuple(json.dumps(item).encode() for item in (MANIFEST, INDEX, CONFIG)),
    ),
)
