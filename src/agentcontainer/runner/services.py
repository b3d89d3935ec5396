"""The object that all attempts of a runner share: settings, stores, sandboxes, and limits."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import aiohttp

from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks.events import LogSize
from agentcontainer.gateway.offline_model import OfflineModel
from agentcontainer.proxies import Proxies
from agentcontainer.runner.live_text import LiveText
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.volume import Volumes
from agentcontainer.settings import Settings
from agentcontainer.telemetry.tracing import NO_TRACING, Tracing

IMAGES_FOLDER = "images"  # below the data folder; shared by all runners of this host


@dataclass(frozen=True)
class Services:
    """One runner's services. `folder` contains a folder for each attempt; `runtime` is mounted into sandboxes."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    sandboxes: Bubblewrap
    client: aiohttp.ClientSession
    runtime: Path
    folder: Path
    volumes: Volumes
    offline_model: OfflineModel = field(default_factory=OfflineModel)
    tracing: Tracing = NO_TRACING

    @cached_property
    def proxies(self) -> Proxies:
        """The proxies for servers that the operator names."""
        return Proxies.of(os.environ)

    @cached_property
    def live_text(self) -> LiveText:
        """Sends what agents are saying to those who follow them."""
        return LiveText(self.pool)

    @cached_property
    def limits(self) -> Limits:
        """The resource limits of a sandbox."""
        settings = self.settings
        return Limits(settings.sandbox_memory_bytes, settings.sandbox_pids, settings.sandbox_cpus)

    @cached_property
    def event_limit(self) -> LogSize:
        """The greatest size of a task's event log."""
        return LogSize(self.settings.max_task_events, self.settings.max_task_event_bytes)
