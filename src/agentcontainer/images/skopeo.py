"""Runs skopeo, which talks to registries and reads archives, in a helper sandbox with network access.

The sandbox sees an empty workspace and, for an image given by its path, that path. Callers must check its
output.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.egress import rule_for
from agentcontainer.images import manifest, program
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused, ImageUnreachable
from agentcontainer.images.program import Bounds, Outcome
from agentcontainer.images.reference import Reference
from agentcontainer.proxies import host_and_port
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import INSIDE_GIVEN, INSIDE_WORKSPACE, Internet, Spec
from agentcontainer.sandbox.host_uids import UidLease

COPY = "dir"  # the folder that `copy` makes in the workspace
_MISSING = re.compile(
    r"manifest unknown|name unknown|not found|no such file|no image found|does not exist|no descriptor|404",
    re.I,
)
_DENIED = re.compile(r"unauthorized|authentication required|denied|forbidden|\b40[13]\b", re.I)
_BUSY = re.compile(r"toomanyrequests|too many requests|\b429\b|\b50[0234]\b", re.I)
_UNREACHABLE = re.compile(
    r"no such host|connection refused|connection reset|i/o timeout|timed? ?out|network is unreachable|no route to host|"
    r"server misbehaving|proxyconnect|proxy authentication|service unavailable|bad gateway|x509|tls|"
    r"server gave http response|unexpected eof|dial tcp",
    re.I,
)
_NO_DISK = re.compile(r"no space left|quota exceeded", re.I)


@dataclass(frozen=True)
class Skopeo:
    """Runs in sandboxes with the id `name` and the folder `root`, which holds an empty `workspace`."""

    sandboxes: Bubblewrap
    access: Access
    name: str
    root: Path
    lease: UidLease | None
    bounds: Bounds

    async def manifest(self, reference: Reference) -> bytes:
        """The manifest or index, as it is stored.

        Raises:
            ImageRefused: there is none. ImageUnreachable: the registry cannot be reached.
            SandboxError: skopeo could not be run.
        """
        return await self._inspect(reference, "--raw")

    async def config(self, reference: Reference) -> bytes:
        """The configuration, as it is stored. Raises as `manifest`."""
        return await self._inspect(reference, "--raw", "--config")

    async def copy(self, reference: Reference) -> Path:
        """Copy the image for this platform into a new folder. Its files are untrusted. Raises as `manifest`."""
        target = f"dir:{INSIDE_WORKSPACE}/{COPY}"
        await self._run(
            reference, "copy", ["--preserve-digests", "--quiet"], [target], "--src-tls-verify=false"
        )
        return self.root / "workspace" / COPY

    async def _inspect(self, reference: Reference, *options: str) -> bytes:
        outcome = await self._run(reference, "inspect", list(options), [], "--tls-verify=false")
        if len(outcome.stdout) > manifest.MAX_BYTES:
            raise ImageRefused(f"has a manifest or a configuration of more than {manifest.MAX_BYTES} bytes")
        return outcome.stdout

    async def _run(
        self, reference: Reference, verb: str, options: list[str], targets: list[str], without_tls: str
    ) -> Outcome:
        program.need("skopeo")
        self.access.check(reference)
        given = self.access.ca_bundle if reference.registry is not None else self.access.path(reference)
        proxy = self.access.proxy(reference)
        architecture = manifest.own_platform().partition("/")[2]
        argv = ["skopeo", "--insecure-policy", "--tmpdir", INSIDE_WORKSPACE]
        argv += [
            "--override-os",
            "linux",
            "--override-arch",
            architecture,
            verb,
            *options,
            "--retry-times",
            "2",
        ]
        route = self.access.route(reference)
        argv += [without_tls] if route == "host without TLS" else []
        spec = Spec(
            self.name, self.root, self.root, program.LIMITS, self._environment(reference, proxy), INSIDE_WORKSPACE,
            is_helper=True, given=given,
            internet=_internet(proxy) if route == "internet" else None,
            is_on_host_network=(route or "").startswith("host"),
        )  # fmt: skip
        argv += [_source(reference), *targets]
        outcome = await program.run(self.sandboxes, spec, argv, self.bounds, self.lease)
        if outcome.code != 0:
            raise _fault(outcome.stderr, reference)
        return outcome

    def _environment(self, reference: Reference, proxy: str | None) -> dict[str, str]:
        environment = dict(program.ENVIRONMENT)
        if reference.registry is not None and self.access.ca_bundle is not None:
            environment["SSL_CERT_FILE"] = INSIDE_GIVEN
        if proxy is not None:  # for every host: a registry may redirect to another one
            environment |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
        return environment


def _internet(proxy: str | None) -> Internet:
    """Public addresses, or nothing but the operator's proxy, which may have a private address."""
    if proxy is None:
        return Internet()
    host, port = host_and_port(proxy)
    return Internet((rule_for(host, port),), is_private_allowed=True)


def _source(reference: Reference) -> str:
    """The image as skopeo names it: with the digest rather than the tag, and a path as seen in the sandbox."""
    if reference.transport == "docker":
        return f"docker://{reference.name}" + (
            f"@{reference.digest}" if reference.digest is not None else f":{reference.tag}"
        )
    return f"{reference.transport}:{INSIDE_GIVEN}" + ("" if reference.tag is None else f":{reference.tag}")


def _fault(stderr: str, reference: Reference) -> Exception:
    """An error in our own words: skopeo's messages contain hosts and paths."""
    where = reference.registry
    if _NO_DISK.search(stderr):
        return ImageUnreachable("cannot be read: this host has too little disk")
    if where is None:
        return ImageRefused(
            "cannot be read: there is no such image in it, or not everybody may read it"
            if _MISSING.search(stderr) or "permission denied" in stderr
            else "cannot be read as an image"
        )
    if _BUSY.search(stderr):
        return ImageUnreachable(f"cannot be fetched: the registry {where} is busy; try again later")
    if _UNREACHABLE.search(stderr):
        return ImageUnreachable(f"cannot be fetched: the registry {where} cannot be reached; try again later")
    if _DENIED.search(stderr):
        return ImageRefused(f"does not exist in {where}, or needs a login, which is not supported")
    if _MISSING.search(stderr):
        return ImageRefused(f"does not exist in {where}")
    return ImageRefused(f"cannot be read from {where}")
