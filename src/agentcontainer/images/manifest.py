"""Parses the JSON that describes an image: manifests, indexes and configurations.

All of it is untrusted.
"""

import hashlib
import platform
import re
from dataclasses import dataclass
from typing import cast

from agentcontainer import json_syntax
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.images.faults import ImageRefused, too_large
from agentcontainer.images.reference import DIGEST
from agentcontainer.printable import printable

MAX_BYTES = 4 * 1024**2
MAX_LAYERS = 500
MAX_VARIABLES = 500
MAX_VARIABLES_BYTES = 64 * 1024
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# These would change what our own runtime does.
_IGNORED_VARIABLE = re.compile(r"(NODE_|PI_|AGENTCONTAINER_).*")


@dataclass(frozen=True)
class Blob:
    """A file of an image."""

    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """One image for one platform."""

    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True)
class Index:
    """Images for several platforms. `fitting`: the digests of those for this platform, in the order of the
    index."""

    fitting: tuple[str, ...]
    platforms: tuple[str, ...]


def digest_of(raw: bytes) -> str:
    """The digest of these bytes, as registries write it."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def own_platform() -> str:
    """This host's platform, as images name it."""
    machine = platform.machine()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def read(raw: bytes) -> Manifest | Index:
    """The manifest or index in `raw`.

    Raises:
        ImageRefused: it is neither, or has something that we do not support.
    """
    document = _document(raw)
    if document.get("mediaType") in INDEXES or "manifests" in document:
        return _index(document)
    if document.get("schemaVersion") != 2:
        raise ImageRefused("is in Docker's old format (schema 1); push it again with a current tool")
    layers = _list(document.get("layers"))
    if len(layers) > MAX_LAYERS:
        raise ImageRefused(f"has more than {MAX_LAYERS} layers")
    return Manifest(_blob(_object(document.get("config"))), tuple(_layer(_object(layer)) for layer in layers))


def digest_for_host(index: Index) -> str:
    """The digest of the image for this host.

    Raises:
        ImageRefused: it has none.
    """
    if not index.fitting:
        platforms = ", ".join(index.platforms[:10]) or "none"
        raise ImageRefused(f"has no image for {own_platform()}; it has: {platforms}")
    return index.fitting[0]


def check_size(manifest: Manifest, max_bytes: int) -> None:
    """Return if the compressed layers together are not above the limit for an unpacked image.

    Raises:
        ImageRefused: they are.
    """
    if sum(layer.size_bytes for layer in manifest.layers) > max_bytes:
        raise too_large(max_bytes)


def check_config(raw: bytes) -> None:
    """Return if the configuration is for this host's platform.

    Raises:
        ImageRefused: it is for another platform.
    """
    document = _document(raw)
    platform_of_image = f"{document.text('os')}/{document.text('architecture')}"
    if platform_of_image != own_platform():
        raise ImageRefused(f"is made for {_printable(platform_of_image)}, but this host is {own_platform()}")


def variables(raw: bytes) -> dict[str, str]:
    """The environment variables of a configuration. Those that are malformed or would change our runtime are
    left out.

    Raises:
        ImageRefused: they are too large together.
    """
    entries = _list(_object(_document(raw).get("config") or {}).get("Env") or [])
    environment: dict[str, str] = {}
    for entry in entries[:MAX_VARIABLES]:
        name, equals, value = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if (
            equals
            and _VARIABLE.fullmatch(name)
            and not _IGNORED_VARIABLE.fullmatch(name)
            and _is_sound(value)
        ):
            environment[name] = value
    if sum(len(name) + len(value.encode()) for name, value in environment.items()) > MAX_VARIABLES_BYTES:
        raise ImageRefused(f"has an environment of more than {MAX_VARIABLES_BYTES} bytes")
    return environment


def _is_sound(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _index(document: JsonObject) -> Index:
    fitting: list[str] = []
    platforms: list[str] = []
    for entry in _list(document.get("manifests"))[:MAX_LAYERS]:
        platform_of_entry = _object(_object(entry).get("platform") or {})
        named = f"{platform_of_entry.text('os')}/{platform_of_entry.text('architecture')}"
        if named == own_platform():
            fitting.append(_blob(_object(entry)).digest)
        if (
            named != "unknown/unknown" and _printable(named) not in platforms
        ):  # unknown/unknown is an attestation
            platforms.append(_printable(named))
    return Index(tuple(fitting), tuple(platforms))


def _layer(entry: JsonObject) -> Blob:
    if "urls" in entry and entry.get("urls"):  # at an address that the image chooses
        raise ImageRefused("has layers that are stored outside its registry")
    if entry.get("mediaType") not in LAYERS:
        kind = _printable(str(entry.get("mediaType")))
        raise ImageRefused(f"has a layer of the kind {kind}: only tar, plain or by gzip, is supported")
    return _blob(entry)


def _blob(entry: JsonObject) -> Blob:
    digest, size = entry.get("digest"), entry.get("size")
    if entry.get("urls") or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise _broken()
    if not isinstance(size, int) or size < 0:
        raise _broken()
    return Blob(digest, size)


def _document(raw: bytes) -> JsonObject:
    if len(raw) > MAX_BYTES:
        raise ImageRefused(f"has a manifest or a configuration of more than {MAX_BYTES} bytes")
    try:
        return _object(json_syntax.loads(raw, is_strict=False))
    except ValueError:
        raise _broken() from None


def _object(value: object) -> JsonObject:
    if (document := JsonObject.of(value)) is None:
        raise _broken()
    return document


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _broken()
    return cast("list[object]", value)


def _broken() -> ImageRefused:
    return ImageRefused("has a manifest or a configuration that cannot be read")


def _printable(text: str) -> str:
    """Text of an image, made fit for a message."""
    return printable(text)[:80]
