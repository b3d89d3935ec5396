"""Restricts images to the registries and folders that the operator allows.

Otherwise a client could name any address, and make us connect to services that only this host can reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.reference import Reference
from agentcontainer.settings import Settings

# A registry without a scheme is reached at public addresses only, also after redirects. One that the operator
# names with a scheme may be in the host's network: it is reached over the host's network, with TLS or
# without.
Route = Literal["internet", "host", "host without TLS"]
ROUTES: Mapping[str, Route] = {"": "internet", "https": "host", "http": "host without TLS"}


@dataclass(frozen=True)
class Access:
    """What is allowed. `registries`: host and port → how it is reached."""

    registries: Mapping[str, Route]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Access":
        entries = [entry.rpartition("://") for entry in settings.image_registries]
        return cls({host: ROUTES[scheme] for scheme, _, host in entries}, settings.image_folders)

    def check(self, reference: Reference) -> None:
        """Return if the image's registry or path is allowed.

        Raises:
            ImageRefused: it is not.
        """
        if reference.registry is not None and reference.registry not in self.registries:
            allowed = ", ".join(sorted(self.registries)) or "none"
            raise ImageRefused(
                f"names the registry {reference.registry}, which is not allowed here; allowed are: {allowed} "
                "(AGENTCONTAINER_IMAGE_REGISTRIES)"
            )
        if reference.registry is None:
            self.path(reference)

    def route(self, reference: Reference) -> Route | None:
        """How the registry of an allowed image is reached; None: the image is a path."""
        return None if reference.registry is None else self.registries[reference.registry]

    def path(self, reference: Reference) -> Path:
        """The real path of an image, with all links followed. It is below an allowed folder.

        Raises:
            ImageRefused: it is not, or it does not exist; the message is the same, so that it tells nothing
            about the host.
        """
        try:
            real = Path(reference.name).resolve(strict=True)
            is_allowed = any(real.is_relative_to(folder.resolve(strict=True)) for folder in self.folders)
            is_right = real.is_dir() if reference.transport == "oci" else real.is_file()
        except (OSError, RuntimeError):
            is_allowed = is_right = False
            real = Path()
        if not is_allowed or not is_right:
            what = "folder" if reference.transport == "oci" else "file"
            raise ImageRefused(f"names no {what} below an allowed folder (AGENTCONTAINER_IMAGE_FOLDERS)")
        return real
