"""Serves the built pages of the dashboard from memory."""

import gzip
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import AgentContainerError
from agentcontainer.settings import Settings

# Paths below these are routes of the API, and never a page.
API_ROOTS = frozenset(
    {"api", "session", "metrics", "preview", "answer", "oauth", "wake", "uploads", "healthz", "readyz"}
)
_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".txt": "text/plain; charset=utf-8", ".json": "application/json",
}  # fmt: skip
_INDEX = "index.html"
_IMMUTABLE = "public, max-age=31536000, immutable"
_ISOLATION = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>AgentContainer</title>
<h1>The dashboard is not built</h1>
<p>The API runs. To build the dashboard, run <code>make ui</code> in the folder of the sources, and start the API again.
Its address is <code>/api/v1</code>.</p>
</html>
"""


@dataclass(frozen=True)
class _File:
    content: bytes
    compressed: bytes | None
    """None: gzip does not make it smaller."""
    etag: str
    content_type: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "_File":
        compressed = gzip.compress(content, 9, mtime=0)
        suffix = f".{name.rpartition('.')[2]}"
        return cls(
            content,
            compressed if len(compressed) < len(content) else None,
            f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            _TYPES.get(suffix, "application/octet-stream"),
        )


def built_files() -> dict[str, bytes]:
    """The files that `make ui` has built, by their path; none if it was not run."""
    return dict(_read(resources.files("agentcontainer.dashboard") / "static"))


class Dashboard:
    """The pages. `upload_origins`: where browsers send uploads, besides to the origin of the page. `preview_url`: the
    origin of previews; None: the page's own."""

    def __init__(
        self, files: Mapping[str, bytes], upload_origins: tuple[str, ...] = (), preview_url: str | None = None
    ) -> None:
        self._files = {name: _File.of(name, content) for name, content in files.items()}
        self._policy = content_security_policy(upload_origins, preview_url)

    def answer(self, request: Request) -> Response | None:
        """The response to a request that no route of the API takes; None: it is not for the dashboard."""
        path = request.url.path.lstrip("/")
        if request.method not in ("GET", "HEAD") or path.partition("/")[0] in API_ROOTS:
            return None
        if path != _INDEX and (file := self._files.get(path)) is not None:
            return self._file(request, file, _IMMUTABLE if path.startswith("assets/") else "no-cache")
        if path.startswith("assets/") or not _accepts_html(request):
            return None
        if (index := self._files.get(_INDEX)) is None:
            headers = {**_ISOLATION, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
            return HTMLResponse(_NOT_BUILT, 404, headers)
        return self._file(request, index, "no-cache")

    def _file(self, request: Request, file: _File, cache_control: str) -> Response:
        headers = {
            **_ISOLATION, "Content-Security-Policy": self._policy, "Cache-Control": cache_control, "ETag": file.etag,
            "Vary": "Accept-Encoding",
        }  # fmt: skip
        if file.etag in _tags(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        content = file.content
        if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content = file.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=file.content_type)


async def upload_origins(settings: Settings, blobs: Blobs) -> tuple[str, ...]:
    """Where browsers send uploads, besides to the origin of the page."""
    signed = None
    with suppress(AgentContainerError):  # without credentials, uploads fail with a message of their own
        signed = await blobs.signed_put("uploads/origin", timedelta(seconds=1))
    urls = (settings.public_url, signed)
    return tuple(f"{parts.scheme}://{parts.netloc}" for parts in (urlsplit(url) for url in urls if url))


def content_security_policy(upload_origins: tuple[str, ...], preview_url: str | None = None) -> str:
    """What the pages may do: run their own scripts and styles, connect to the API and to where uploads go, and show
    previews. A preview that could go to any other URL could take what it knows with it."""
    connect = " ".join(("'self'", *upload_origins))
    frames, images = ("'self'", "'self' blob:")
    if preview_url is not None:
        frames, images = (preview_url, f"{images} {preview_url}")
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; font-src 'self'; "
        f"connect-src {connect}; frame-src {frames}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    )


def _read(folder: Traversable, prefix: str = "") -> "list[tuple[str, bytes]]":
    if not folder.is_dir():
        return []
    files: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        files += _read(entry, f"{name}/") if entry.is_dir() else [(name, entry.read_bytes())]
    return files


def _accepts_html(request: Request) -> bool:
    """Whether the client asks for a page, as browsers do. A program that takes any type gets the API's error."""
    return "text/html" in request.headers.get("accept", "")


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
