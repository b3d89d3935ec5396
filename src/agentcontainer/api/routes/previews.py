"""The routes that show files in a browser: one makes a signed link, the other answers it.

Files are hostile: they may be written by an agent that was tricked. A preview has no origin, loads nothing and runs no
script, or only its own scripts where the user asked for it; docs/security.md says what that leaves.
"""

from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from fastapi import Path, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from agentcontainer.api.http import browser, file_bytes
from agentcontainer.api.http.access import public, reads
from agentcontainer.api.http.auth import Caller, authenticate_connection
from agentcontainer.api.http.request import base_url
from agentcontainer.api.http.routing import SEGMENT, StrictRoute, authenticated, unauthenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.ids import FileId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.files import previews, service
from agentcontainer.domain.files.model import File
from agentcontainer.errors import Forbidden, Misdirected
from agentcontainer.settings import Settings

PreviewKind = TypeAliasType("PreviewKind", Literal["html", "svg", "image", "pdf", "text", "none"])
_TEXT = "text/plain; charset=utf-8"


class Preview(Outgoing):
    """How a browser shows a file, and signed links for it. Treat them as passwords."""

    file_id: str
    kind: Annotated[PreviewKind, Field(description="`none`: the file can only be downloaded.")]
    content_type: Annotated[str, Field(description="Of the answer to the links. Of `text`: `text/plain`.")]
    size_bytes: int
    url: Annotated[str | None, Field(description="Shows the file without running scripts. Null for `none`.")]
    scripts_url: Annotated[
        str | None,
        Field(description="Of `html` only: runs the scripts in the file too, which reach nothing."),
    ]
    expires_at: Annotated[
        Timestamp | None, Field(description="When the links stop working. Null for `none`.")
    ]


class PreviewRoute(StrictRoute):
    """A route whose path ends in the name of a file."""

    free_path_params = frozenset({"name"})


router = authenticated("Files")
link_router = unauthenticated("Files", PreviewRoute)


@router.get("/files/{fileId}/preview")
@reads
async def get_file_preview(request: Request, file_id: FileId, caller: Caller, services: Provided) -> Preview:
    """Get links with which a browser shows a file for 5 minutes, without a key or cookie."""
    file = await service.get(services.pool, caller.account_id, file_id)
    kind = previews.kind_of(file)
    expires_at = None if kind == "none" else await previews.expiry(services.pool)

    def link(*, has_scripts: bool) -> str | None:
        if expires_at is None:
            return None
        token = previews.token_of(
            services.vault, file, caller.account_id, expires_at, has_scripts=has_scripts
        )
        return (
            f"{_base_url(request, services.settings, caller)}/preview/{token}/{quote(file.filename, safe='')}"
        )

    return Preview(
        file_id=file.id,
        kind=kind,
        content_type=_content_type(file, kind),
        size_bytes=file.size_bytes,
        url=link(has_scripts=False),
        scripts_url=link(has_scripts=True) if kind == "html" else None,
        expires_at=expires_at,
    )


@file_bytes.download_route(link_router, "/preview/{token}/{name}", 403, 421)
@public
async def show_preview(
    request: Request,
    token: Annotated[str, Path(json_schema_extra={"pattern": f"^{SEGMENT}$"})],
    _name: Annotated[str, Path(alias="name", description="The file's name, for the browser only.")],
    services: Provided,
) -> Response:
    """Show a file, by a link of `GET /api/v1/files/{fileId}/preview`. Cookies and keys are ignored."""
    _check_host(request, services.settings)
    link = await previews.find(services.pool, services.vault, token)
    if link.has_scripts and request.headers.get("sec-fetch-dest", "iframe") != "iframe":
        # In a window of its own it could send what it knows by navigating. Only a framing page's policy stops that.
        raise Forbidden("Scripts of a file run only within a page of the dashboard.")
    authenticate_connection(request, None)
    headers = _headers(services, link)
    return await file_bytes.respond(request, services.blobs, link.file, headers)


def _base_url(request: Request, settings: Settings, caller: Principal) -> str:
    """What links begin with: for a page, its own origin, because the page may frame no other."""
    if settings.preview_url is not None:
        return settings.preview_url
    if caller.kind == "session":
        return browser.url_of_page(request, settings)
    return base_url(request, settings)


def _check_host(request: Request, settings: Settings) -> None:
    """Refuse to show a preview at an origin that the cookies of the dashboard reach, if there is another one for it.

    Raises:
        Misdirected: the request came to another host than that of `preview_url`.
    """
    if (
        settings.preview_url is not None
        and browser.host_of(request) != urlsplit(settings.preview_url).hostname
    ):
        raise Misdirected("This installation shows previews under another host name only.")


def _content_type(file: File, kind: previews.PreviewKind) -> str:
    if kind == "text":
        return _TEXT
    if file_bytes.is_media_type(file.content_type):
        return file.content_type
    return previews.media_type_of(file) if kind != "none" else "application/octet-stream"


def _headers(services: Services, link: previews.PreviewLink) -> dict[str, str]:
    kind, settings = previews.kind_of(link.file), services.settings
    return {
        "Content-Type": _content_type(link.file, kind),
        "Content-Disposition": file_bytes.disposition(
            "attachment" if kind == "none" else "inline", link.file.filename
        ),
        "Content-Security-Policy": content_security_policy(settings, has_scripts=link.has_scripts),
        # A page of the dashboard at another origin may load an image, whose link is secret.
        "Cross-Origin-Resource-Policy": "same-origin" if settings.preview_url is None else "cross-origin",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
    }


def content_security_policy(settings: Settings, *, has_scripts: bool) -> str:
    """What a preview may do: nothing that reaches beyond itself."""
    app = urlsplit(settings.api_url)
    ancestors = "" if settings.preview_url is None else f" {app.scheme}://{app.netloc}"
    allowed = ("sandbox allow-scripts", "script-src 'unsafe-inline'; ") if has_scripts else ("sandbox", "")
    return (
        f"{allowed[0]}; default-src 'none'; {allowed[1]}style-src 'unsafe-inline'; img-src data: blob:; "
        f"form-action 'none'; base-uri 'none'; frame-ancestors 'self'{ancestors}; webrtc 'block'"
    )
