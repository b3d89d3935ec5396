"""Encrypts stored secrets and signs URLs, both with keys derived from the installation's secret key.

Encryption and signing have separate keys (HKDF), so that a signature can never decrypt a ciphertext.
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
    """Encrypts with AES-256-GCM and signs with HMAC-SHA-256."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(_derive(secret_key, b"seal"))
        self._signing_key = _derive(secret_key, b"sign")

    def seal(self, plaintext: str, context: str) -> bytes:
        """Encrypt. `context` says whose secret it is; `open` needs the same context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext.encode(), context.encode())

    def open(self, ciphertext: bytes, context: str) -> str:
        """Decrypt.

        Raises:
            SettingsError: the secret was encrypted with another key or context, or the row was tampered with.
        """
        nonce, sealed = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, context.encode()).decode()
        except InvalidTag:
            raise SettingsError(
                "AGENTCONTAINER_SECRET_KEY has changed since this provider key was stored: "
                "restore the old secret key, or store the provider key again."
            ) from None

    def sign(self, *parts: str) -> str:
        """A signature over the parts, URL-safe."""
        return hmac.new(self._signing_key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()

    def is_signed(self, signature: str, *parts: str) -> bool:
        """Whether `signature` is what `sign` returns for these parts. Compared in constant time."""
        return hmac.compare_digest(self.sign(*parts).encode(), signature.encode())


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"agentcontainer " + purpose).derive(secret_key.encode())
