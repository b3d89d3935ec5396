"""Responds with the bytes of a file, whole or a single range, with headers that make hostile files harmless."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from agentcontainer.api.http import browser
from agentcontainer.api.wire import MEDIA_TYPE_PATTERN
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.model import File
from agentcontainer.errors import RangeNotSatisfiable

# Non-ASCII, control characters, and " % \, which clients parse differently.
_UNSAFE_IN_QUOTES = re.compile(r"[^ !#-$&-\[\]-~]")
# Characters that change the direction of text, so that gpj.exe is displayed as exe.jpg.
_BIDI_CONTROLS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RANGE = re.compile(r"bytes=[ \t]*(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})[ \t]*", re.IGNORECASE)
_HEADERS = {
    "Range": "`bytes=0-499`, `bytes=500-` or `bytes=-500`. Several ranges are answered with the whole file.",
    "If-Range": "Answer the range only if this is the file's ETag, else the whole file.",
    "If-None-Match": "Answer 304 if this is the file's ETag.",
}

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def download_route(router: APIRouter, path: str, *errors: int) -> Callable[[Endpoint], Endpoint]:
    """A GET and HEAD route whose response is the bytes of a file, with its headers and statuses described. `errors`:
    statuses of its own errors."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {
        "application/octet-stream": binary,
        "*/*": binary,
    }  # code generators need one fixed type; a response has the file's own
    get = router.get(
        path,
        response_class=Response,
        responses={
            200: {"description": "The bytes, with the file's own `Content-Type`.", "content": content},
            206: {"description": "The bytes of the range.", "content": content},
            304: {"description": "Not modified: `If-None-Match` names the file's ETag."},
            416: {},
            **{status: {} for status in errors},
        },
        openapi_extra={
            "parameters": [
                {
                    "name": name,
                    "in": "header",
                    "required": False,
                    "description": text,
                    "schema": {"type": "string"},
                }
                for name, text in _HEADERS.items()
            ]
        },
    )

    def register(endpoint: Endpoint) -> Endpoint:
        browser.mark_download(endpoint)
        router.head(path, include_in_schema=False, response_class=Response)(endpoint)
        return get(endpoint)

    return register


async def respond(
    request: Request, blobs: Blobs, file: File, presentation: Mapping[str, str] | None = None
) -> Response:
    """The file, or the requested range of it.

    `presentation`: the headers that say how a browser treats it, instead of those that make it save the file.

    Raises:
        RangeNotSatisfiable: the range begins beyond the end of the file.
        NotFound: the object store has no such file.
    """
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if _lists(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= _download_headers(file) if presentation is None else presentation
    is_head = request.method == "HEAD"  # for which `Range` has no meaning
    byte_range = None
    if not is_head and request.headers.get("if-range", etag) == etag:
        byte_range = _single_range(request.headers.getlist("range"), file.size_bytes)
    start, end = byte_range or (0, file.size_bytes)
    headers["Content-Length"] = str(end - start)
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    chunks = blobs.stream(file.blob_key, *(byte_range or ()))
    first = await anext(chunks, b"")  # a missing object raises here, before the status is sent
    if is_head:
        await chunks.aclose()
        return Response(status_code=200, headers=headers)
    return StreamingResponse(_joined(first, chunks), 200 if byte_range is None else 206, headers)


def disposition(kind: Literal["attachment", "inline"], filename: str) -> str:
    """`Content-Disposition` for any file name: an ASCII form for old clients and the exact name (RFC 6266)."""
    filename = _BIDI_CONTROLS.sub("_", filename)
    plain = _UNSAFE_IN_QUOTES.sub("_", filename)
    exact = quote(filename, safe="!#$&+-.^_`|~", errors="replace")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def is_media_type(text: str) -> bool:
    """Whether the text is sound as a `Content-Type`."""
    return re.fullmatch(MEDIA_TYPE_PATTERN, text) is not None


def _lists(header: list[str], etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for line in header for tag in line.split(",")]
    return etag in tags or "*" in tags


def _single_range(header: list[str], size: int) -> tuple[int, int] | None:
    """Start and end of the range. None: answer the whole file, also to anything but one byte range (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(header[0]) if len(header) == 1 else None
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        start, end = max(0, size - int(match["last"])), size
    else:
        start, end = int(match["first"]), size
        if match["last"]:
            if int(match["last"]) < start:
                return None
            end = min(size, int(match["last"]) + 1)
    if start >= end:
        raise RangeNotSatisfiable(f"The file has {size} bytes. The range begins beyond them.", size)
    return start, end


def _download_headers(file: File) -> dict[str, str]:
    return {
        "Content-Type": file.content_type if is_media_type(file.content_type) else "application/octet-stream",
        "Content-Disposition": disposition("attachment", file.filename),
        # If a browser displays hostile HTML after all, it has no origin, runs no script and loads nothing.
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
