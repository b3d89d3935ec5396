"""Removal of a provider key from what goes inwards, also where it is split over chunks."""

import json
import re
from urllib.parse import quote

REDACTED = b"[redacted]"


def spellings(key: str) -> tuple[bytes, ...]:
    """The byte strings in which `key` may show: itself, as in JSON, and as in a URL. Mostly they are one."""
    in_json = json.dumps(key)[1:-1]
    variants = {key, in_json, in_json.replace("/", "\\/"), quote(key, safe=""), quote(key)}
    return tuple(sorted((variant.encode() for variant in variants if variant), key=len, reverse=True))


class Scrubber:
    """Scrubs one stream. What `feed` and `end` return, joined, holds no spelling of the key; only the longest
    suffix that may be the beginning of one is held back."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._secrets = secrets
        self._longest = max((len(secret) for secret in secrets), default=0)
        self._pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets))
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream up to here may pass."""
        if not self._secrets:
            return chunk
        data = self._held + chunk
        done = 0
        passed: list[bytes] = []
        for match in self._pattern.finditer(data):
            passed += data[done : match.start()], REDACTED
            done = match.end()
        until = len(data) - self._length_of_beginning(data[done:])
        self._held = data[until:]
        return b"".join(passed) + data[done:until]

    def end(self) -> bytes:
        """The rest, once the stream has ended."""
        rest, self._held = self._held, b""
        return rest

    def _length_of_beginning(self, data: bytes) -> int:
        for length in range(min(self._longest - 1, len(data)), 0, -1):
            suffix = data[-length:]
            if any(len(secret) > length and secret.startswith(suffix) for secret in self._secrets):
                return length
        return 0


def scrub(data: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """`data` as a whole, scrubbed."""
    scrubber = Scrubber(secrets)
    return scrubber.feed(data) + scrubber.end()


def scrub_text(text: str, secrets: tuple[bytes, ...]) -> str:
    return scrub(text.encode("utf-8", "surrogatepass"), secrets).decode("utf-8", "replace")
