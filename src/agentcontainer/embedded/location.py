"""Where the embedded server of a data folder is, and whether it runs."""

import socket
from pathlib import Path
from urllib.parse import quote

from agentcontainer.settings import Settings

NAME = "agentcontainer"  # of the database and of its superuser
PORT = 5432  # only part of the socket's name


def service_uid(settings: Settings) -> int:
    """The uid PostgreSQL runs as when we are root: beside the sandboxes' uids, never one of them."""
    return settings.sandbox_uid_base - 1


def url_of(data_dir: Path) -> str:
    """Where the embedded server of that data folder is, or would be, reached."""
    return f"postgresql://{NAME}@/{NAME}?host={quote(str(data_dir / 'postgres' / 'socket'))}&port={PORT}"


def is_running(data_dir: Path) -> bool:
    """Whether a server answers on the data folder's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(data_dir / "postgres" / "socket" / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True


def locate_url(settings: Settings) -> str | None:
    """`database_url` if set, else the embedded server's while it runs."""
    if settings.database_url is not None:
        return settings.database_url
    return url_of(settings.data_dir) if is_running(settings.data_dir) else None
