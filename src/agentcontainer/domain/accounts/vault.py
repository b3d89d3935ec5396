"""Secrets at rest and signed URLs, both from the installation's secret key.

Each use has a key of its own (HKDF), so that a signature can never open a ciphertext.
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentcontainer.errors import SettingsError

_NONCE_BYTES = 12


class Vault:
    """Seals with AES-256-GCM and signs with HMAC-SHA-256."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(_derive(secret_key, b"seal"))
        self._signing_key = _derive(secret_key, b"sign")

    def seal(self, plaintext: str, context: str) -> bytes:
        """Encrypt; `context` (whose secret it is) must be the same to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext.encode(), context.encode())

    def open(self, ciphertext: bytes, context: str) -> str:
        """Decrypt.

        Raises:
            SettingsError: the secret key is another one than at sealing, or the row was tampered with.
        """
        nonce, sealed = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, context.encode()).decode()
        except InvalidTag:
            raise SettingsError(
                "AGENTCONTAINER_SECRET_KEY is not the key this provider key was stored with; "
                "restore the old one or store the provider key again."
            ) from None

    def sign(self, *parts: str) -> str:
        """A signature over the parts, URL-safe."""
        return hmac.new(self._signing_key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()

    def is_signed(self, signature: str, *parts: str) -> bool:
        """Whether `signature` is ours for these parts, in constant time."""
        return hmac.compare_digest(self.sign(*parts).encode(), signature.encode())


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"agentcontainer " + purpose).derive(secret_key.encode())
