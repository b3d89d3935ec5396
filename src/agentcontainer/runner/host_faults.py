"""Decides whether this host or the database made an attempt fail, and not the task.

Such an attempt does not count as a try.
"""

import contextlib

from agentcontainer import db, host
from agentcontainer.errors import SandboxError, Unavailable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import HostCannotSave
from agentcontainer.sandbox.contract import Spec

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


async def host_fault(services: Services, name: str, error: Exception) -> str | None:
    """What this host or the database lacks, if that explains the error, as a sentence. `name`: the attempt's."""
    if isinstance(error, (*db.SERVER_FAILURES, ConnectionRefusedError)):
        return "The database could not be used."
    if (fault := host.shortage(services.folder)) is not None:
        return fault
    if host.is_exhausted(error):
        return "It has no memory or file descriptor left."
    cause = error.__cause__ if isinstance(error, HostCannotSave) else error
    if isinstance(cause, Unavailable):
        return "The object store could not be used."
    if isinstance(cause, SandboxError) and not await _can_start_a_sandbox(services, f"{name}-trial"):
        return "It cannot start any sandbox."
    return None


async def _can_start_a_sandbox(services: Services, name: str) -> bool:
    """Whether a helper sandbox starts that contains nothing of the task."""
    folder = services.folder / name  # the clean-up finds the sandbox by it
    try:
        (folder / "workspace").mkdir(parents=True)
        spec = Spec(name, folder, folder, services.limits, ENVIRONMENT, "/", is_helper=True)
        async with services.sandboxes.running(spec, ["true"]):
            pass
    except (SandboxError, OSError):
        return False
    finally:
        with contextlib.suppress(OSError):
            await folders.remove(folder)
    return True
