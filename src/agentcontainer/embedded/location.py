"""Finds the URL of a data folder's embedded server, and whether the server runs."""

import socket
from pathlib import Path
from urllib.parse import quote

from agentcontainer.settings import Settings

NAME = "agentcontainer"  # the name of the database and of its superuser
PORT = 5432  # part of the socket's file name only


def service_uid(settings: Settings) -> int:
    """The uid that PostgreSQL runs as if we are root: the one before the sandboxes' uids."""
    return settings.sandbox_uid_base - 1


def offline_model_uid(settings: Settings) -> int:
    """The uid that the offline model runs as if we are root."""
    return settings.sandbox_uid_base - 2


def url_of(data_dir: Path) -> str:
    """The URL of the embedded server of this data folder, whether it runs or not."""
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
    """`session_url` if it is set, or the URL of the embedded server if it runs, or None."""
    if settings.session_url is not None:
        return settings.session_url
    return url_of(settings.data_dir) if is_running(settings.data_dir) else None
