"""Where images may come from: the registries and folders that the operator allows, and nothing else.

Without it a client could name any address, and have us talk to what only we can reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.reference import Reference
from agentcontainer.settings import Settings

# A registry on the internet is reached at public addresses only, whatever it redirects to; one that the operator names
# with its scheme may stand inside, and is reached as this host does, by TLS or without.
Way = Literal["internet", "host", "host without TLS"]
WAYS: Mapping[str, Way] = {"": "internet", "https": "host", "http": "host without TLS"}


@dataclass(frozen=True)
class Access:
    """`registries`: host, with its port → how it is reached."""

    registries: Mapping[str, Way]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Access":
        ways = [entry.rpartition("://") for entry in settings.image_registries]
        return cls({host: WAYS[scheme] for scheme, _, host in ways}, settings.image_folders)

    def check(self, reference: Reference) -> None:
        """Return if it may be looked at.

        Raises:
            ImageRefused: it may not.
        """
        if reference.registry is not None and reference.registry not in self.registries:
            allowed = ", ".join(sorted(self.registries)) or "none"
            raise ImageRefused(
                f"names the registry {reference.registry}, which is not allowed here; allowed are: {allowed} "
                "(AGENTCONTAINER_IMAGE_REGISTRIES)"
            )
        if reference.registry is None:
            self.path(reference)

    def way(self, reference: Reference) -> Way | None:
        """How the registry of an allowed image is reached; None: it is a path."""
        return None if reference.registry is None else self.registries[reference.registry]

    def path(self, reference: Reference) -> Path:
        """Where a path leads, which is below an allowed folder also when links are followed.

        Raises:
            ImageRefused: it is not, or nothing is there. The answer to both is the same.
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
            raise ImageRefused(
                f"names no {what} below a folder that is allowed here (AGENTCONTAINER_IMAGE_FOLDERS)"
            )
        return real
