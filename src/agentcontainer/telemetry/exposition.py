"""Answers scrapes: brings the gauges up to date and writes the metrics in Prometheus' text format."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from agentcontainer.telemetry.metrics import OPEN_FILES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OWN_FILES = Path("/proc/self/fd")

logger = logging.getLogger(__name__)


class Exposition:
    """The metrics of one process. `refresh` sets the gauges before each scrape; what it cannot read it leaves out."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]]) -> None:
        self._registry = registry
        self._refresh = refresh

    async def text(self) -> bytes:
        """The metrics as they are now. A failure to refresh a gauge does not hide the others."""
        OPEN_FILES.set(sum(1 for _ in OWN_FILES.iterdir()))
        try:
            await self._refresh()
        except Exception:
            logger.warning("some metrics could not be read", exc_info=True)
        return generate_latest(self._registry)
