"""Restricts images to the registries and folders that the operator allows.

Otherwise a client could name any address, and make us connect to services that only this host can reach.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentcontainer.ca_bundle import ca_bundle
from agentcontainer.images.faults import ImageRefused, ImageUnreachable
from agentcontainer.images.reference import Reference
from agentcontainer.proxies import Proxies, has_password, host_and_port, is_loopback
from agentcontainer.settings import Settings

# A registry without a scheme is reached at public addresses only, also after redirects. One that the operator
# names with a scheme may be in the host's network: it is reached over the host's network, with TLS or
# without.
Route = Literal["internet", "host", "host without TLS"]
ROUTES: Mapping[str, Route] = {"": "internet", "https": "host", "http": "host without TLS"}


@dataclass(frozen=True)
class Access:
    """What is allowed, and how it is reached.

    `registries`: host and port → how it is reached. `proxies`: through which registries are reached. `ca_bundle`: the
    file of trusted CAs; None: the system's.
    """

    registries: Mapping[str, Route]
    folders: tuple[Path, ...]
    proxies: Proxies = field(default_factory=Proxies)
    ca_bundle: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Access":
        entries = [entry.rpartition("://") for entry in settings.image_registries]
        registries: dict[str, Route] = {host: ROUTES[scheme] for scheme, _, host in entries}
        return cls(registries, settings.image_folders, Proxies.of(os.environ), ca_bundle(os.environ))

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

    def proxy(self, reference: Reference) -> str | None:
        """The proxy through which the registry of an allowed image is reached; None: there is none.

        Raises:
            ImageUnreachable: the proxy needs a password, which must not enter the sandbox that pulls images.
        """
        route = self.route(reference)
        if route is None:
            return None
        scheme = "http" if route == "host without TLS" else "https"
        proxy = self.proxies.for_url(f"{scheme}://{reference.registry}")
        if proxy is None:
            return None
        if route == "internet" and is_loopback(host_and_port(proxy)[0]):
            raise ImageUnreachable(
                f"cannot be fetched: the proxy for {reference.registry} is on this host's loopback, which the sandbox "
                "that pulls images cannot reach; see docs/operations/proxies.md"
            )
        if has_password(proxy):
            raise ImageUnreachable(
                f"cannot be fetched: the proxy for {reference.registry} needs a password, which is not used for "
                "images; see docs/operations/proxies.md"
            )
        return proxy

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
