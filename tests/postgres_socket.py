"""The socket of the tests' PostgreSQL, for processes that run as other users."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def open_socket(database_url: str) -> Path:
    """The folder of the server's socket, to which every user of this host can now connect."""
    folder = Path(parse_qs(urlsplit(database_url).query)["host"][0])
    folder.chmod(0o711)
    for socket in folder.glob(".s.PGSQL.*[0-9]"):
        socket.chmod(0o777)
    return folder
