"""Encrypts stored secrets and signs URLs, both with keys derived from the installation's secret key.

Encryption and signing have separate keys (HKDF), so that a signature can never decrypt a ciphertext.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentcontainer.errors import SettingsError

_NONCE_BYTES = 12


class Vault:
    """Encrypts with AES-256-GCM and signs with HMAC-SHA-256.

    `secret_key` may have several keys, one a line: the first encrypts and signs, all open and verify.
    """

    def __init__(self, secret_key: str) -> None:
        keys = secret_keys(secret_key)
        self._ciphers = [AESGCM(_derive(key, b"seal")) for key in keys]
        self._signing_keys = [_derive(key, b"sign") for key in keys]

    def seal(self, plaintext: str, context: str) -> bytes:
        """Encrypt. `context` says whose secret it is; `open` needs the same context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, plaintext.encode(), context.encode())

    def open(self, ciphertext: bytes, context: str) -> str:
        """Decrypt.

        Raises:
            SettingsError: the secret was encrypted with another key or context, or the row was tampered with.
        """
        for cipher in self._ciphers:
            if (plaintext := _decrypted(cipher, ciphertext, context)) is not None:
                return plaintext
        raise SettingsError(
            "AGENTCONTAINER_SECRET_KEY has changed since this provider key was stored: "
            "restore the old secret key, or store the provider key again."
        )

    def resealed(self, ciphertext: bytes, context: str) -> bytes | None:
        """The same secret encrypted with the first key. None: it is already.

        Raises:
            SettingsError: as `open`.
        """
        if _decrypted(self._ciphers[0], ciphertext, context) is not None:
            return None
        return self.seal(self.open(ciphertext, context), context)

    def sign(self, *parts: str) -> str:
        """A signature over the parts, URL-safe."""
        return _signature(self._signing_keys[0], parts)

    def is_signed(self, signature: str, *parts: str) -> bool:
        """Whether `signature` is what `sign` returned for these parts, with any of the keys. Compared in constant
        time."""
        return any(
            hmac.compare_digest(_signature(key, parts).encode(), signature.encode())
            for key in self._signing_keys
        )


def secret_keys(text: str) -> list[str]:
    """The keys in a setting, one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _decrypted(cipher: AESGCM, ciphertext: bytes, context: str) -> str | None:
    try:
        return cipher.decrypt(ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:], context.encode()).decode()
    except InvalidTag:
        return None


def _signature(key: bytes, parts: Sequence[str]) -> str:
    return hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"agentcontainer " + purpose).derive(secret_key.encode())
