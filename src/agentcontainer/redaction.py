"""Removes a provider key from byte streams and texts, also where the key is split over chunks of a stream."""

import json
import re
from urllib.parse import quote

REDACTED = b"[redacted]"


def encodings_of(key: str) -> tuple[bytes, ...]:
    """The byte strings as which `key` can appear: plain, in JSON, and in a URL; the longest first."""
    in_json = json.dumps(key)[1:-1]
    encodings = {key, in_json, in_json.replace("/", "\\/"), quote(key, safe=""), quote(key)}
    return tuple(sorted((encoding.encode() for encoding in encodings if encoding), key=len, reverse=True))


class Redactor:
    """Redacts one stream.

    The joined results of `feed` and `end` contain none of the secrets. Only a suffix that may be the beginning of a
    secret is held back, so a stream is not delayed otherwise.
    """

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._secrets = secrets
        self._longest = max((len(secret) for secret in secrets), default=0)
        self._pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets))
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk; return the part of the stream that can be passed on."""
        if not self._secrets:
            return chunk
        data = self._held + chunk
        position = 0
        passed: list[bytes] = []
        for match in self._pattern.finditer(data):
            passed += data[position : match.start()], REDACTED
            position = match.end()
        until = len(data) - self._held_back(data[position:])
        self._held = data[until:]
        return b"".join(passed) + data[position:until]

    def end(self) -> bytes:
        """Return what was held back, once the stream has ended."""
        rest, self._held = self._held, b""
        return rest

    def _held_back(self, data: bytes) -> int:
        """The length of the longest suffix of `data` that a secret begins with."""
        for length in range(min(self._longest - 1, len(data)), 0, -1):
            suffix = data[-length:]
            if any(len(secret) > length and secret.startswith(suffix) for secret in self._secrets):
                return length
        return 0


def redact(data: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """`data` with each secret replaced by `REDACTED`."""
    redactor = Redactor(secrets)
    return redactor.feed(data) + redactor.end()


def redact_text(text: str, secrets: tuple[bytes, ...]) -> str:
    """As `redact`, for a text; lone surrogates become U+FFFD."""
    return redact(text.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "replace")
