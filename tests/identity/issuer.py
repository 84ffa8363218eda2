"""An issuer of tokens: its keys, what it publishes of them, and what it signs."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from twisted.internet.defer import Deferred

from llmedge.config.sections.jwt import Jwt

URL = "https://login.example.com"
AUDIENCE = "llmedge"
NOW = 1_700_000_000
KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}
OTHER = RSAKey.generate_key(2048, {"kid": "other"})


class Anything(jws.JWSRegistry):
    """Signs whatever it is told."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None: ...


def settings(**more: Any) -> Jwt:
    """Those of the issuer."""
    return Jwt(**{"issuer": URL, "audience": (AUDIENCE,)} | more)


def published(*keys: Any) -> dict[str, Any]:
    """A set of keys, without what is private."""
    return dict(KeySet(list(keys or KEYS.values())).as_dict())


def sign(algorithm: str = "RS256", key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
    """A token, good but for what is said otherwise: ``None`` takes a claim or a header away."""
    key = key or KEYS[algorithm]
    said = {"iss": URL, "aud": AUDIENCE, "sub": "anna", "exp": NOW + 3600} | claims
    head = {"alg": algorithm, "kid": key.kid} | (header or {})
    payload = json.dumps({name: each for name, each in said.items() if each is not None})
    head = {name: each for name, each in head.items() if each is not None}
    return jws.serialize_compact(head, payload, key, registry=Anything()).encode()


def symmetric(secret: bytes) -> OctKey:
    """A key of an algorithm that has one for both."""
    return OctKey.import_key(secret)


class Fetched:
    """Answers for an issuer, as :class:`llmedge.identity.jwks.Fetch`.

    :ivar answers: by URL: a document, an error, or a Deferred of either. :ivar asked: the URLs.
    """

    def __init__(self, document: Any = None) -> None:
        keys = published() if document is None else document
        self.answers: dict[str, Any] = {
            f"{URL}/.well-known/openid-configuration": {"issuer": URL, "jwks_uri": f"{URL}/keys"},
            f"{URL}/keys": keys,
        }
        self.cache_control = ""
        self.status = 200
        self.asked: list[str] = []

    def publish(self, *keys: Any) -> None:
        """Other keys."""
        self.answers[f"{URL}/keys"] = published(*keys)

    def __call__(self, url: str) -> Awaitable[tuple[int, str, bytes]]:
        return self._answer(url)

    async def _answer(self, url: str) -> tuple[int, str, bytes]:
        self.asked.append(url)
        answer = self.answers[url]
        if isinstance(answer, Deferred):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return self.status, self.cache_control, body
