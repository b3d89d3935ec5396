"""What every attempt of a runner works with."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import has_our_installation_id
from agentcontainer.domain.tasks.events import Volume
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.images.access import Access
from agentcontainer.images.keeping import Images
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt, CheckpointStore
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.volume import Volumes
from agentcontainer.settings import Settings

IMAGES_FOLDER = "images"  # in the data folder


@dataclass(frozen=True)
class Services:
    """One runner's settings, stores and makers. `folder` holds its attempts' folders."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    sandboxes: Bubblewrap
    client: aiohttp.ClientSession
    runtime: Path
    folder: Path
    volumes: Volumes

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.sandbox_memory_bytes, settings.sandbox_pids, settings.sandbox_cpus)

    @property
    def event_limit(self) -> Volume:
        return Volume(self.settings.max_task_events, self.settings.max_task_event_bytes)

    @property
    def checkpoint_store(self) -> CheckpointStore:
        settings = self.settings
        return CheckpointStore(
            self.sandboxes, self.blobs, self.folder, self.limits,
            settings.max_checkpoint_bytes, settings.max_workspace_bytes, self.volumes,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def missing_means_unavailable(self) -> AsyncGenerator[None]:
        """What is not found in a store without this database's mark is not lost: the store may be another's, or a
        folder where nothing is mounted now. Raises `Unavailable` then."""
        try:
            yield
        except (CheckpointCorrupt, NotFound):
            if not await db.retry_while_unavailable(lambda: has_our_installation_id(self.pool, self.blobs)):
                raise Unavailable("The object store does not bear the mark of this database.") from None
            raise

    @property
    def images(self) -> Images:
        settings = self.settings
        return Images(
            self.sandboxes, Access.of(settings), settings.data_dir / IMAGES_FOLDER, self.folder, self.runtime,
            self.limits, pi_launch.env(), settings.max_image_bytes,
        )  # fmt: skip
