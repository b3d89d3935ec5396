"""Signs requests as Standard Webhooks 1.0.0 says, and makes and checks the secrets that sign."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # of a secret that a client brings


def new_secret() -> str:
    """A new random secret: `whsec_…`."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secret_fault(secret: str) -> str | None:
    """Why this is not a secret, as the end of a sentence that does not repeat it; None: it is one."""
    try:
        size = len(base64.b64decode(secret.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if secret.startswith(PREFIX) and MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES:
        return None
    return f"must be {PREFIX} and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes"


def signature(signing_secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`: one signature for each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(_key(secret), signed, hashlib.sha256) for secret in signing_secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
