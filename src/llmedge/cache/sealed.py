"""What is sealed shows nothing to who keeps it, and cannot be changed or put elsewhere by him: AES-256-GCM (NIST
SP 800-38D). Nor does its name: whoever guesses what was asked cannot find out whether it was (HMAC, RFC 2104)."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from llmedge.config.secret import Secret

_NONCE = 12
"""Bytes, by chance: with one secret up to 2³² times (section 8.3), a thousand a second for 49 days."""
_ID = 4
"""Bytes that say which secret it was."""


class Seal:
    """:param secrets: the first one seals, all of them open.

    Each is long and by chance, so that a hash of it makes a key; it need not be slow.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        texts = [secret.reveal().encode() for secret in secrets]
        self._keys = {_of(text, "id")[:_ID]: AESGCM(_of(text, "key")) for text in texts}
        self._id = next(iter(self._keys))
        self._names = [_of(text, "name") for text in texts]

    def names(self, key: bytes) -> list[bytes]:
        """What may be kept under ``key`` is kept under one of these; what is sealed now, under the first."""
        return [hmac.digest(secret, key, "sha256") for secret in self._names]

    def seal(self, value: bytes, name: bytes) -> bytes:
        """:param name: where it is kept: elsewhere it cannot be opened."""
        nonce = os.urandom(_NONCE)
        return self._id + nonce + self._keys[self._id].encrypt(nonce, value, name)

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """:raises ValueError: it was not sealed with any of the secrets for this name, or has been changed."""
        key = self._keys.get(sealed[:_ID])
        if key is None or len(sealed) < _ID + _NONCE:
            raise ValueError("sealed with another secret")
        try:
            return key.decrypt(sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :], name)
        except InvalidTag:
            raise ValueError("changed") from None


def _of(secret: bytes, use: str) -> bytes:
    """A secret for one use, of which the others cannot be told."""
    return hmac.digest(secret, f"llmedge cache AES-256-GCM {use}".encode(), "sha256")
