"""What is sealed shows nothing to who keeps it, and cannot be changed or put elsewhere by him: AES-256-GCM (NIST
SP 800-38D)."""

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
        self._keys: dict[bytes, AESGCM] = {}
        for secret in reversed(secrets):
            text = secret.reveal().encode()
            self._id = hmac.digest(text, b"llmedge cache AES-256-GCM id", "sha256")[:_ID]
            self._keys[self._id] = AESGCM(hmac.digest(text, b"llmedge cache AES-256-GCM key", "sha256"))

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
