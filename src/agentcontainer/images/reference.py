"""Image names: `python:3.12`, `ghcr.io/x/y@sha256:…`, `oci:/folder[:tag]`, `docker-archive:/file[:ref]`.

Parsing completes a short name (`docker.io/library/python:3.12`). A pinned name has the digest behind its tag:
`docker.io/library/python:3.12@sha256:…`.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from agentcontainer.images.faults import ImageRefused

MAX_CHARACTERS = 1000
MAX_REPOSITORY_CHARACTERS = 255
DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
ALIASES = {"index.docker.io": DEFAULT_REGISTRY, "registry-1.docker.io": DEFAULT_REGISTRY}
Transport = Literal["docker", "oci", "docker-archive"]

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REGISTRY = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_PATH_TAG = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,254}"
)  # with docker-archive it is a name with its tag


@dataclass(frozen=True)
class Reference:
    """An image's full name. `name`: registry and repository, or the path on the host. `digest` None: not
    pinned."""

    transport: Transport
    name: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        prefix = "" if self.transport == "docker" else f"{self.transport}:"
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{prefix}{self.name}{tag}{digest}"

    @property
    def registry(self) -> str | None:
        """The registry's host, with its port if it has one; None for a path."""
        return self.name.partition("/")[0] if self.transport == "docker" else None

    def pinned(self, digest: str) -> "Reference":
        """The same name, with this digest."""
        return replace(self, digest=digest)


def parse(text: str) -> Reference:
    """The image that `text` names.

    Raises:
        ImageRefused: `text` is not an image name.
    """
    if not text or len(text) > MAX_CHARACTERS or not text.isprintable() or " " in text:
        raise ImageRefused(
            f"must be one word of at most {MAX_CHARACTERS} characters, such as python:3.12-slim"
        )
    name, at, digest = text.rpartition("@")
    if not at:
        name, digest = text, ""
    elif not DIGEST.fullmatch(digest):
        raise ImageRefused("must have sha256: and 64 hexadecimal digits, in lower case, behind the @")
    for transport in ("oci", "docker-archive"):
        if name.startswith(f"{transport}:"):
            return _path(transport, name.removeprefix(f"{transport}:"), digest or None)
    return _in_registry(name.removeprefix("docker://"), digest or None)


def _path(transport: Transport, rest: str, digest: str | None) -> Reference:
    path, _, tag = rest.partition(":")
    if not path.startswith("/") or "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise ImageRefused(f"must have an absolute path without . and .. behind {transport}:")
    if tag and not _PATH_TAG.fullmatch(tag):
        raise ImageRefused("has a tag that is not valid")
    return Reference(transport, path.rstrip("/") or "/", tag or None, digest)


def _in_registry(name: str, digest: str | None) -> Reference:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = ALIASES.get(first, first), rest
    else:
        registry, repository = DEFAULT_REGISTRY, name
    repository, _, tag = repository.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    is_short = len(repository) <= MAX_REPOSITORY_CHARACTERS
    if not is_short or not _REGISTRY.fullmatch(registry) or not _REPOSITORY.fullmatch(repository):
        raise ImageRefused(
            "must be the name of an image: a registry and a repository in lower case, such as ghcr.io/owner/name:tag"
        )
    if (tag and not _TAG.fullmatch(tag)) or name.endswith(":"):
        raise ImageRefused("has a tag that is not valid")
    if not tag and digest is None:
        tag = DEFAULT_TAG
    return Reference("docker", f"{registry}/{repository}", tag or None, digest)
