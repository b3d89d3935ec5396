"""Signed links under which a browser shows a file without the account's cookie or key, for five minutes.

The token of a link is the file's id, what the browser may do, when the link expires, and a signature of these and of
the file's account. Nothing is stored.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import store
from agentcontainer.domain.files.model import File
from agentcontainer.errors import Forbidden, NotFound

LIFE = timedelta(minutes=5)

PreviewKind = Literal["html", "svg", "image", "pdf", "text", "none"]

_KINDS: dict[str, PreviewKind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
    **dict.fromkeys(
        ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/x-icon",
         "image/vnd.microsoft.icon"),
        "image",
    ),
    **dict.fromkeys(
        ("application/json", "application/jsonl", "application/x-ndjson", "application/xml", "application/yaml",
         "application/x-yaml", "application/toml", "application/sql", "application/x-sh", "application/javascript",
         "application/x-tex"),
        "text",
    ),
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<file>file_[0-9a-z_]{1,40})-(?P<mode>[rs])(?P<expires>[0-9a-f]{1,12})-(?P<signature>[0-9a-f]{64})"
)
_INVALID = "The link of this preview is not valid, or has expired. Make another one."


@dataclass(frozen=True)
class PreviewLink:
    """A link that was followed: its file, and whether the scripts of the file may run."""

    file: File
    has_scripts: bool


def kind_of(file: File) -> PreviewKind:
    """How a browser can show the file. `none`: it can only be downloaded."""
    media_type = media_type_of(file)
    if (kind := _KINDS.get(media_type)) is not None:
        return kind
    is_text = media_type.startswith("text/") or (
        media_type.startswith("application/") and media_type.endswith(("+json", "+xml"))
    )
    return "text" if is_text else "none"


def media_type_of(file: File) -> str:
    """The file's content type in lower case, without parameters."""
    return file.content_type.partition(";")[0].strip().lower()


async def expiry(pool: Pool) -> datetime:
    """When a link that is made now expires, by the database's clock: the clocks of API processes may differ."""
    return await pool.fetchval("SELECT date_trunc('second', now()) + $1::interval", LIFE)


def token_of(vault: Vault, file: File, account_id: str, expires_at: datetime, *, has_scripts: bool) -> str:
    """The token of a link to the file of this account. `has_scripts`: scripts in it may run."""
    mode, expires = "s" if has_scripts else "r", f"{int(expires_at.timestamp()):x}"
    return f"{file.id}-{mode}{expires}-{vault.sign('preview', file.id, account_id, mode, expires)}"


async def find(pool: Pool, vault: Vault, token: str) -> PreviewLink:
    """The file that the token leads to.

    Raises:
        Forbidden: the token is not ours, has expired, or its account is suspended.
        NotFound: the file is deleted.
    """
    match = _TOKEN.fullmatch(token)
    found = await store.find_for_preview(pool, match["file"]) if match else None
    if match is None or found is None:
        raise Forbidden(_INVALID)
    mode, expires = match["mode"], match["expires"]
    if not vault.is_signed(match["signature"], "preview", match["file"], found.account_id, mode, expires):
        raise Forbidden(_INVALID)
    if int(expires, 16) <= found.read_at.timestamp() or found.is_account_suspended:
        raise Forbidden(_INVALID)
    if found.file is None:
        raise NotFound("The file was deleted.")
    return PreviewLink(found.file, mode == "s")
