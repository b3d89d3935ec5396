"""Checks the URL of a PostgreSQL database."""

import re
from urllib.parse import urlsplit


def fault(value: str) -> str | None:
    """What is wrong with the URL, as the predicate of a sentence that repeats no part of it; None: nothing."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("postgres", "postgresql"):
        return "must be a postgresql:// URL"
    credentials, _, hosts = parts.netloc.rpartition("@")
    # A special character of a password that is not encoded ends the host part early, or makes it a part of the host.
    if "@" in credentials or not all(_is_host(host) for host in hosts.split(",")):
        return (
            "must name hosts and ports, as in postgresql://user:password@host:5432/name; in a password, write / as "
            "%2F, # as %23, ? as %3F and @ as %40"
        )
    return None


def _is_host(host: str) -> bool:
    return re.fullmatch(r"(\[[^]]*\]|[^:\[\]]*)(:[0-9]{1,5})?", host) is not None
