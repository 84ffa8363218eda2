"""Keys that llmedge makes: ``sk-le-``, 256 bits, and six characters that tell a typing mistake without a look-up.

What is kept of one is its HMAC-SHA256 with a pepper that the database does not have: a stolen table is of no use.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from zlib import crc32

import attrs

PREFIX = b"sk-le-"
_RANDOM = 43
"""Characters of 32 bytes in base64url."""
LENGTH = len(PREFIX) + _RANDOM + 6


def new() -> str:
    """A key nobody has."""
    body = PREFIX + urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=")
    return (body + _check(body)).decode()


def is_ours(presented: bytes) -> bool:
    """Whether it is one of those, typed right; whose it is, if anybody's, is another question."""
    body = presented[:-6]
    return len(presented) == LENGTH and presented.startswith(PREFIX) and presented[-6:] == _check(body)


def _check(body: bytes) -> bytes:
    return urlsafe_b64encode(crc32(body).to_bytes(4)).rstrip(b"=")


@attrs.frozen
class Pepper:
    """What hashes are made with besides the key.

    :ivar id: says which, where there are two while one is changed; tells nothing of it.
    """

    id: str
    _value: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, value: str) -> Pepper:
        """The one with that text."""
        return cls(hashlib.sha256(b"llmedge pepper " + value.encode()).hexdigest()[:8], value.encode())

    def digest(self, key: bytes) -> str:
        """Of a key, in hexadecimal."""
        return hmac.digest(self._value, key, "sha256").hex()

    def seal(self, data: bytes) -> bytes:
        """Shows whether ``data`` was changed by somebody who has not the pepper."""
        return hmac.digest(self._value, b"llmedge snapshot " + data, "sha256")
