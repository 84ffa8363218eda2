"""JSON Web Tokens (RFC 7519): what one says, and whether that holds. The signatures are joserfc's to check."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError

from llmedge.config.sections.jwt import Jwt
from llmedge.errors import AuthError
from llmedge.identity.refusals import KeyExpired

MOST_KEYS = 100
"""Of an issuer; more are not looked at."""
_LEAST_RSA = 342
"""Characters of a modulus of 2048 bits (RFC 7518 section 3.3)."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Registry(jws.JWSRegistry):
    """joserfc's own takes no header over 512 bytes, and none it does not know, which RFC 7515 section 4 says are to be
    ignored; and it warns of ``EdDSA`` each time, as RFC 9864 has other names for it, which few issuers use."""

    max_header_length = 8192

    def __init__(self, algorithms: tuple[str, ...] = ()) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise AuthError("Invalid token: its algorithm is not one that is allowed here.")
        return self.algorithms[name]


_NOTHING = _Registry()
_allowing = lru_cache(64)(_Registry)


class KeySet:
    """The public keys of an issuer.

    :param document: as it publishes them (RFC 7517 section 5). What is for something else, or not understood, is left
        out.
    :raises ValueError: it is none, or has no key that could be used.
    """

    def __init__(self, document: Any) -> None:
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("is not a set of keys")
        found = [key for each in listed[:MOST_KEYS] if (key := _import(each)) is not None]
        if not found:
            raise ValueError("has no key for signatures that could be used")
        self._published, self._keys = listed, found

    def knows(self, kid: str | None) -> bool:
        """Whether there is one with that id."""
        return any(key.kid == kid for key in self._keys)

    def find(self, kid: str | None, algorithm: Any) -> jwk.Key | None:
        """The key with that id for that algorithm; without an id, the only one that could be meant."""
        fitting = [key for key in self._keys if kid in (key.kid, None) and _fits(key, algorithm)]
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self._published == other._published


def _import(data: Any) -> jwk.Key | None:
    if not isinstance(data, dict) or data.get("kty") not in ("RSA", "EC", "OKP") or data.get("use", "sig") != "sig":
        return None  # a symmetric key that is published is nobody's
    try:
        if "verify" not in data.get("key_ops", ["verify"]) or len(data.get("n", " " * _LEAST_RSA)) < _LEAST_RSA:
            return None
        return jwk.import_key(data)
    except Exception:  # whatever was published
        return None


def _fits(key: jwk.Key, algorithm: Any) -> bool:
    """The type of the key, and its curve, say what it may be used with (RFC 8725 section 3.1)."""
    try:
        algorithm.check_key(key)
    except JoseError:
        return False
    return key.alg in (None, algorithm.name)


class Token:
    """One that was presented, not yet checked.

    :raises AuthError: it is none.
    """

    def __init__(self, presented: bytes) -> None:
        try:
            self._signed = jws.extract_compact(presented, registry=_NOTHING)
            self.header = self._signed.headers()
            self._claims = _decode(self._signed.payload)
        except Exception:  # of whatever bytes those are
            raise AuthError("Invalid token") from None
        if "crit" in self.header or "b64" in self.header:  # extensions (RFC 7515 section 4.1.11), of which we have none
            raise AuthError("Invalid token: it asks for an extension that is not known here.")

    @property
    def issuer(self) -> Any:
        """Who is said to have made it. Nothing else of it is anybody's word before :meth:`check`."""
        return self._claims.get("iss")

    @property
    def kid(self) -> str | None:
        """The key it is said to be signed with."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None

    def algorithm(self, allowed: tuple[str, ...]) -> Any:
        """How it is said to be signed.

        :raises AuthError: that is none of ``allowed``.
        """
        return _allowing(allowed).get_alg(str(self.header.get("alg")))

    def check(self, settings: Jwt, key: jwk.Key, now: float) -> Mapping[str, Any]:
        """Its claims, which hold: signed with ``key``, by the issuer, for us, at this time.

        :raises AuthError: they do not.
        """
        try:
            good = jws.validate_compact(self._signed, key, registry=_allowing(settings.algorithms))
        except AuthError:
            raise
        except Exception:  # a header or signature that is none
            good = False
        if not good:
            raise AuthError("Invalid token: its signature is not its issuer's.")
        claims = self._claims
        if claims.get("iss") != settings.issuer:
            raise AuthError("Invalid token: its issuer is another one.")
        audience = claims.get("aud")
        if not set(settings.audience) & set(_texts(audience)):
            raise AuthError("Invalid token: it is for another audience.")
        if settings.typ and _type(self.header.get("typ")) != _type(settings.typ):
            raise AuthError("Invalid token: it is of another type.")
        expires: Any = claims.get("exp")
        begins: Any = claims.get("nbf", 0)
        if not _is_moment(expires) or not _is_moment(begins):
            raise AuthError("Invalid token: it does not say until when it is valid.")
        if now - settings.leeway >= expires:  # either may be any number there is
            raise KeyExpired("This token has expired.")
        if now + settings.leeway < begins:
            raise AuthError("Invalid token: it is not valid yet.")
        return claims


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]


def _type(value: Any) -> str:
    """RFC 7515 section 4.1.9: ``application/`` may be left out; media types know no case."""
    return str(value).lower().removeprefix("application/")


def _is_moment(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
