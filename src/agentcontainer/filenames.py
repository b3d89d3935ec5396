"""Decides which names a file may have that comes from a client, an agent or an archive."""

import unicodedata

MAX_FILENAME_BYTES = 255


def filename_fault(name: str) -> str | None:
    """Why neither a client nor an agent may use this file name. None: they may."""
    if not name or name in (".", ".."):
        return "must be a file name"
    if "/" in name or "\\" in name:
        return "must be a name, not a path: no / or \\"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not hold control characters"
    if len(name.encode()) > MAX_FILENAME_BYTES:
        return f"must be at most {MAX_FILENAME_BYTES} bytes"
    return None


def composed(name: str) -> str:
    """The name in its composed spelling (NFC), which models write. A Mac sends names decomposed (NFD)."""
    composed_name = unicodedata.normalize("NFC", name)
    return composed_name if len(composed_name.encode(errors="replace")) <= MAX_FILENAME_BYTES else name
