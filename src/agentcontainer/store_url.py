"""Checks the URL of an object store."""

import re
from urllib.parse import parse_qs, urlsplit


def fault(value: str) -> str | None:
    """What is wrong with the URL of an object store, as the predicate of a sentence; None: nothing."""
    try:
        parts = urlsplit(value)
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        return "is not a URL"
    if parts.scheme == "file" and parts.path.startswith("/") and not (parts.netloc or parts.query):
        return None
    if parts.scheme != "s3":
        return "must be file:///absolute/folder or s3://bucket/prefix?endpoint=…&region=…"
    if "@" in parts.netloc:
        return "must hold no keys: S3 credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc) or parts.fragment:
        return "must name a bucket: s3://bucket/prefix"
    if unknown := set(options) - {"endpoint", "region"}:
        return f"has the unknown option {sorted(unknown)[0]}; there are endpoint and region"
    if repeated := [name for name, values in options.items() if len(values) > 1]:
        return f"has the option {repeated[0]} twice"
    endpoint = urlsplit(options.get("endpoint", ["https://s3"])[-1])
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        return "must have an http:// or https:// URL as its endpoint"
    return None
