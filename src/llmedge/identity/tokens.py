"""Callers who show a token of an issuer that is trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import attrs

from llmedge.config.sections.jwt import Jwt
from llmedge.errors import AuthError
from llmedge.identity.chain import Credentials
from llmedge.identity.jwks import KeySource
from llmedge.identity.jwt import Token
from llmedge.identity.places import Place
from llmedge.identity.refusals import IssuerUnavailable
from llmedge.identity.roles import grants_of, scopes_of
from llmedge.model import Account, Caller, Clock

KNOWN = 10_000
"""Tokens that are remembered once they were found good."""
KNOWN_FOR = 300.0
"""Seconds for which they are, if they are valid as long."""
_LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0 section 2


class Tokens:
    """An identifier of what looks like a token; those of issuers that are not trusted are for others to know.

    :param place: finds the team and the user that an account names. :param permissions: of roles that somebody made.
    """

    def __init__(
        self,
        issuers: Iterable[tuple[Jwt, KeySource]],
        clock: Clock,
        place: Callable[[Account], Place] = Place,
        permissions: Callable[[str], frozenset[str] | None] = lambda role: None,
    ) -> None:
        self._issuers = {settings.issuer: (settings, keys) for settings, keys in issuers}
        self._clock = clock
        self._place = place
        self._permissions = permissions
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def forget(self) -> None:
        """Keys have changed, or what somebody may: each token is looked at again."""
        self._known.clear()

    def identify(self, credentials: Credentials) -> Caller | Awaitable[Caller] | None:
        """:raises AuthError: the token is not valid. :raises IssuerUnavailable: that cannot be known.

        :raises PermissionDenied: the team or the user of it is disabled.
        """
        presented = credentials.key
        if presented is None or not presented.startswith(b"eyJ") or presented.count(b".") != 2:
            return None
        digest = hashlib.sha256(presented).digest()
        known = self._known.get(digest)
        if known is not None and self._clock.seconds() < known[0]:
            return known[1]
        token = Token(presented)
        issuer = self._issuers.get(token.issuer) if isinstance(token.issuer, str) else None
        if issuer is None:
            return None
        settings, source = issuer
        token.algorithm(settings.algorithms)  # what could never be good asks nobody for its key
        keys = source.keys()
        if keys is None or (token.kid is not None and not keys.knows(token.kid)):
            asking = source.ask()
            if asking is not None:
                return self._ask(asking, digest, token, settings, source)
        return self._check(digest, token, settings, source)

    async def _ask(
        self, asking: Awaitable[None], digest: bytes, token: Token, settings: Jwt, source: KeySource
    ) -> Caller:
        await asking
        return self._check(digest, token, settings, source)

    def _check(self, digest: bytes, token: Token, settings: Jwt, source: KeySource) -> Caller:
        keys = source.keys()
        if keys is None:
            raise IssuerUnavailable
        key = keys.find(token.kid, token.algorithm(settings.algorithms))
        if key is None:
            raise AuthError("Invalid token: its issuer has no such key.")
        now = self._clock.seconds()
        claims = token.check(settings, key, now)
        caller = self._caller(settings, claims)
        self._known.pop(digest, None)
        if len(self._known) >= KNOWN:
            del self._known[next(iter(self._known))]  # the oldest
        self._known[digest] = (min(claims["exp"], now + KNOWN_FOR), caller)
        return caller

    def _caller(self, settings: Jwt, claims: Mapping[str, Any]) -> Caller:
        """Named by its subject, with what the mapping grants."""
        subject, names = claims.get("sub"), settings.claims
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
            raise AuthError("Invalid token: it does not say who it is for.")
        team = next(iter(_mapped(_words(claims, names.team, split=False), settings.team_map)), "")
        user = next(iter(_words(claims, names.user, split=False)), "")
        place = self._place(Account(f"jwt:{settings.issuer}|{subject}", team, user=user))
        if team and not settings.team_map and "team" not in place.known:  # others use that word, too
            own = attrs.evolve(place.account, team=f"jwt:{settings.issuer}|{team}")
            place = attrs.evolve(place, account=own)
        named = [settings.role_map[role] for role in _words(claims, names.roles) if role in settings.role_map]
        roles = tuple(dict.fromkeys((*settings.roles, *named)))
        grants = grants_of(roles, place.account, self._permissions)
        narrows = bool(names.models) and _claim(claims, names.models) is not None
        return Caller(
            subject,
            tuple(_words(claims, names.models)) if narrows else ("*",),
            place.limits,
            scopes_of(grants),
            place.account,
            place.models,
            roles,
            grants,
            place.guardrails,
        )


def _mapped(words: Iterable[str], table: Mapping[str, str]) -> list[str]:
    return [table[word] for word in words if word in table] if table else list(words)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, else what the dots in it lead to; ``None``: there is none."""
    if name in claims:  # also "https://example.com/teams"
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _words(claims: Mapping[str, Any], name: str, split: bool = True) -> list[str]:
    """The texts in a claim. :param split: they may be one, with spaces between."""
    found = _claim(claims, name) if name else None
    if isinstance(found, str):
        return found.split() if split else [found]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
