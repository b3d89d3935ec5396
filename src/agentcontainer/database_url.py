"""Checks the URL of a PostgreSQL database."""

import re
from urllib.parse import parse_qs, urlsplit


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


def of_each_server(url: str) -> list[str]:
    """A URL for each server of a URL that names several and says which of them fits (`target_session_attrs`); otherwise
    the URL itself, because then the first server that can be reached is meant."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts or parse_qs(parts.query).get("target_session_attrs", ["any"]) == ["any"]:
        return [url]
    return [parts._replace(netloc=f"{credentials}{at}{host}").geturl() for host in hosts.split(",")]


def _is_host(host: str) -> bool:
    return re.fullmatch(r"(\[[^]]*\]|[^:\[\]]*)(:[0-9]{1,5})?", host) is not None
