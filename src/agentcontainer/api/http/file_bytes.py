"""The bytes of a file as a response: one range at a time, an ETag that never lies, a name that cannot break out."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from agentcontainer.api.wire import MEDIA_TYPE_PATTERN
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.service import File
from agentcontainer.errors import RangeNotSatisfiable

# Beyond ASCII, controls, and " % \ which readers treat differently.
_UNSAFE_IN_QUOTES = re.compile(r"[^ !#-$&-\[\]-~]")
# What turns a name around on the screen, so that gpj.exe reads exe.jpg.
_TURNING = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RANGE = re.compile(r"bytes=[ \t]*(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})[ \t]*", re.IGNORECASE)

_BINARY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The raw bytes, with the file's own `Content-Type`.", "content": _BINARY},
    206: {"description": "The bytes asked for with `Range`.", "content": _BINARY},
    304: {"description": "The client has them: `If-None-Match` names this ETag."},
    416: {},
}
PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("Range", "`bytes=0-499`, `bytes=500-` or `bytes=-500`; several ranges are answered with the whole."),
        ("If-Range", "Answer the range only if this is still the ETag, else the whole."),
        ("If-None-Match", "Answer 304 if this is still the ETag."),
    )
]


async def respond(request: Request, blobs: Blobs, file: File) -> Response:
    """The file, or the part of it that was asked for.

    Raises:
        RangeNotSatisfiable: the file has no such bytes. NotFound: the bytes are gone.
    """
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if _names(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= _download_headers(file)
    wanted = None
    if request.headers.get("if-range", etag) == etag:
        wanted = _wanted(request.headers.getlist("range"), file.size_bytes)
    start, end = wanted or (0, file.size_bytes)
    headers["Content-Length"] = str(end - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    chunks = blobs.stream(file.blob_key, *(wanted or ()))
    first = await anext(chunks, b"")  # what is missing is found before the status is sent
    return StreamingResponse(_joined(first, chunks), 200 if wanted is None else 206, headers)


def attachment(filename: str) -> str:
    """`Content-Disposition` for any name: a plain form for old readers, the exact one beside it (RFC 6266)."""
    filename = _TURNING.sub("_", filename)
    plain = _UNSAFE_IN_QUOTES.sub("_", filename)
    exact = quote(filename, safe="!#$&+-.^_`|~", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def _names(given: list[str], etag: str) -> bool:
    listed = [tag.strip().removeprefix("W/") for line in given for tag in line.split(",")]
    return etag in listed or "*" in listed


def _wanted(given: list[str], size: int) -> tuple[int, int] | None:
    """From, and up to; None: the whole, also for what is not one range of bytes (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        start, end = max(0, size - int(found["last"])), size
    else:
        start, end = int(found["first"]), size
        if found["last"]:
            if int(found["last"]) < start:
                return None
            end = min(size, int(found["last"]) + 1)
    if start >= end:
        raise RangeNotSatisfiable(f"The file has {size} bytes; the range lies beyond them.", size)
    return start, end


def _download_headers(file: File) -> dict[str, str]:
    is_safe = re.fullmatch(MEDIA_TYPE_PATTERN, file.content_type)
    return {
        "Content-Type": file.content_type if is_safe else "application/octet-stream",
        "Content-Disposition": attachment(file.filename),
        # Hostile HTML opened in place after all gets no origin, no script, and nothing from elsewhere.
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
