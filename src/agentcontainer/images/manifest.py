"""Reads what registries say of an image: manifests, indexes and configurations. All of it is hostile JSON. Pure."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

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
# They would change what our own runtime does; what an image needs for its own programs may stay.
_NOT_TAKEN = re.compile(r"(NODE_|PI_|AGENTCONTAINER_).*")


@dataclass(frozen=True)
class Blob:
    """A file of an image, by its digest."""

    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """One image for one platform."""

    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True)
class Index:
    """Images for several platforms; `fitting`: the digests of those for this one, the registry's first choice first."""

    fitting: tuple[str, ...]
    platforms: tuple[str, ...]


def digest_of(raw: bytes) -> str:
    """The digest by which these bytes are known."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def own_platform() -> str:
    """This host's, as images name it."""
    machine = platform.machine()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def read(raw: bytes) -> Manifest | Index:
    """What a manifest or an index says.

    Raises:
        ImageRefused: it is neither, or asks for what we do not do.
    """
    document = _object(raw)
    if document.get("mediaType") in INDEXES or "manifests" in document:
        return _index(document)
    if document.get("schemaVersion") != 2:
        raise ImageRefused("is in Docker's old format (schema 1); push it again with a tool of this decade")
    layers = _list(document.get("layers"))
    if len(layers) > MAX_LAYERS:
        raise ImageRefused(f"has more than {MAX_LAYERS} layers")
    return Manifest(_blob(_mapping(document.get("config"))), tuple(_layer(_mapping(one)) for one in layers))


def chosen(index: Index) -> str:
    """The digest of the image that an index has for this host.

    Raises:
        ImageRefused: it has none.
    """
    if not index.fitting:
        known = ", ".join(index.platforms[:10]) or "none"
        raise ImageRefused(f"has no image for {own_platform()}; it has: {known}")
    return index.fitting[0]


def check_size(manifest: Manifest, max_bytes: int) -> None:
    """Return if its compressed layers are not above what they may unpack to.

    Raises:
        ImageRefused: they are.
    """
    if sum(layer.size_bytes for layer in manifest.layers) > max_bytes:
        raise too_large(max_bytes)


def check_config(raw: bytes) -> None:
    """Return if the configuration is that of an image for this host.

    Raises:
        ImageRefused: it is for another platform.
    """
    document = _object(raw)
    found = f"{document.get('os')}/{document.get('architecture')}"
    if found != own_platform():
        raise ImageRefused(f"is made for {_shown(found)}, but this host is {own_platform()}")


def variables(raw: bytes) -> dict[str, str]:
    """The environment that a configuration asks for, as far as it can be had."""
    entries = _list(_mapping(_object(raw).get("config") or {}).get("Env") or [])
    found: dict[str, str] = {}
    for entry in entries[:MAX_VARIABLES]:
        name, equals, value = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if equals and _VARIABLE.fullmatch(name) and not _NOT_TAKEN.fullmatch(name) and _is_sound(value):
            found[name] = value
    if sum(len(name) + len(value.encode()) for name, value in found.items()) > MAX_VARIABLES_BYTES:
        raise ImageRefused(f"has an environment of more than {MAX_VARIABLES_BYTES} bytes")
    return found


def _is_sound(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _index(document: Mapping[str, Any]) -> Index:
    fitting: list[str] = []
    platforms: list[str] = []
    for entry in _list(document.get("manifests"))[:MAX_LAYERS]:
        wanted = _mapping(_mapping(entry).get("platform") or {})
        named = f"{wanted.get('os')}/{wanted.get('architecture')}"
        if named == own_platform():
            fitting.append(_blob(_mapping(entry)).digest)
        if named != "unknown/unknown" and _shown(named) not in platforms:  # those are attestations
            platforms.append(_shown(named))
    return Index(tuple(fitting), tuple(platforms))


def _layer(entry: Mapping[str, Any]) -> Blob:
    if entry.get("urls"):  # elsewhere: at an address of the image's choice
        raise ImageRefused("has layers that lie outside its registry")
    if entry.get("mediaType") not in LAYERS:
        raise ImageRefused(
            f"has a layer of the kind {_shown(str(entry.get('mediaType')))}: only tar, plain or by gzip, is supported"
        )
    return _blob(entry)


def _blob(entry: Mapping[str, Any]) -> Blob:
    digest, size = entry.get("digest"), entry.get("size")
    if entry.get("urls") or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise _broken()
    if not isinstance(size, int) or size < 0:
        raise _broken()
    return Blob(digest, size)


def _object(raw: bytes) -> Mapping[str, Any]:
    if len(raw) > MAX_BYTES:
        raise ImageRefused(f"has a manifest or a configuration of more than {MAX_BYTES} bytes")
    try:
        return _mapping(json.loads(raw))
    except (ValueError, RecursionError):
        raise _broken() from None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _broken()
    return cast("dict[str, Any]", value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _broken()
    return cast("list[Any]", value)


def _broken() -> ImageRefused:
    return ImageRefused("has a manifest or a configuration that cannot be read")


def _shown(text: str) -> str:
    """An image's own words in a sentence of ours."""
    return printable(text)[:80]
