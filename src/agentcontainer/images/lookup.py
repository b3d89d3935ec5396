"""Resolves an image's name to a digest when an agent version is made, and checks that the image can be used
here."""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from agentcontainer.errors import RateLimited, SandboxError, Unavailable, ValidationError
from agentcontainer.images import manifest
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused, ImageUnreachable
from agentcontainer.images.program import Bounds
from agentcontainer.images.reference import Reference, parse
from agentcontainer.images.skopeo import Skopeo
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.host_uids import LOCKS
from agentcontainer.sandbox.removal import remove
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

MAX_LOOKUPS = 3  # at once: the request of each may hold a database connection
SECONDS = 20.0
RETRY_SECONDS = 3
OLD_SECONDS = 600.0  # an older folder was left by a killed process
FOLDER = "lookups"


class Lookup:
    """Looks up images, a few at a time."""

    def __init__(self, settings: Settings, access: Access | None = None) -> None:
        self._settings = settings
        self._access = access or Access.of(settings)
        self._sandboxes: Bubblewrap | None = None
        self._under_way = 0

    async def pin(self, text: str, field: str) -> str:
        """The full name of the image that `text` names, with its current digest.

        Raises:
            ValidationError: there is no such image, or it cannot be used here; names the `field`.
            Unavailable: it cannot be looked up now.
            RateLimited: too many others are being looked up.
        """
        if self._under_way >= MAX_LOOKUPS:
            raise RateLimited(
                "Other images are being looked up; send this again in some seconds.", RETRY_SECONDS
            )
        self._under_way += 1
        try:
            reference = parse(text)
            self._access.check(reference)
            async with asyncio.timeout(SECONDS), self._skopeo() as skopeo:
                return str(await self._pinned(skopeo, reference))
        except ImageRefused as fault:
            raise ValidationError.at(field, str(fault)) from None
        except ImageUnreachable as fault:
            raise Unavailable(f"The image {fault}.") from None
        except SandboxError as fault:
            raise Unavailable(f"The image cannot be looked up. {fault}") from None
        except TimeoutError:
            raise Unavailable(
                f"The image could not be looked up within {SECONDS:.0f} seconds; try again later."
            ) from None
        except OSError as fault:
            logger.exception("an image cannot be looked up")
            raise Unavailable(f"The image cannot be looked up: {fault.strerror}.") from None
        finally:
            self._under_way -= 1

    async def _pinned(self, skopeo: Skopeo, reference: Reference) -> Reference:
        """The name with the digest. For an image for several platforms it is the digest of the index, so that
        a runner of each platform finds its own image."""
        raw = await skopeo.manifest(reference)
        digest = manifest.digest_of(raw)
        if reference.digest not in (None, digest):
            raise ImageRefused("does not have this digest")
        document = manifest.read(raw)
        if isinstance(document, manifest.Manifest):
            manifest.check_size(document, self._settings.max_image_bytes)
            manifest.check_config(await skopeo.config(reference))
        else:
            digest_here = manifest.digest_for_host(document)
            if reference.registry is not None:
                document = manifest.read(await skopeo.manifest(reference.pinned(digest_here)))
                if isinstance(document, manifest.Manifest):
                    manifest.check_size(document, self._settings.max_image_bytes)
        return reference.pinned(digest)

    @contextlib.asynccontextmanager
    async def _skopeo(self) -> AsyncGenerator[Skopeo]:
        if self._sandboxes is None:
            settings = self._settings
            self._sandboxes = await asyncio.to_thread(lambda: Bubblewrap(settings.sandbox_uid_base, LOCKS))
        folder = self._settings.data_dir / FOLDER
        await _remove_old(folder)
        name = f"lookup-{secrets.token_hex(8)}"
        (folder / name / "workspace").mkdir(mode=0o755, parents=True)
        try:
            bounds = Bounds(2 * SECONDS, manifest.MAX_BYTES, self._settings.max_image_bytes)
            yield Skopeo(self._sandboxes, self._access, name, folder / name, None, bounds)
        finally:
            await remove(folder / name)


async def _remove_old(folder: Path) -> None:
    """Remove the folders of lookups that were killed."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            if entry.stat(follow_symlinks=False).st_mtime < time.time() - OLD_SECONDS:
                await remove(Path(entry.path))
