"""``[[auth.jwt]]``: issuers whose tokens are keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.urls import in_the_clear

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Those with two keys (RFC 7518 section 3.1, RFC 8037, RFC 9864): who can check a token cannot make one."""


def _algorithms(value: Any) -> tuple[str, ...]:
    algorithms: tuple[str, ...] = kinds.strings.from_toml(value, {})
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise ValueError(f"must be a list of some of {', '.join(ALGORITHMS)}")
    return algorithms


_ALGORITHMS = kinds.simple(
    "list of algorithms",
    _algorithms,
    {"type": "array", "items": {"enum": list(ALGORITHMS)}, "minItems": 1},
)


def _audience(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = kinds.strings.from_toml([value] if isinstance(value, str) else value, {})
    if not found:
        raise ValueError("must be a text, or a list of texts")
    return found


_AUDIENCE = kinds.simple(
    "text, or a list of texts",
    _audience,
    {"anyOf": [kinds.string.schema, {"type": "array", "items": kinds.string.schema, "minItems": 1}]},
)


def _place(value: Any) -> str:
    """To the letter: unlike a base URL it may have a query, and end in a slash."""
    kinds.url.from_toml(value.partition("?")[0] if isinstance(value, str) else value, {})
    text: str = kinds.string.from_toml(value, {})
    if not all(0x21 <= ord(char) <= 0x7E for char in text) or "#" in text:
        raise ValueError("must be a URL of visible ASCII characters only, without a fragment")
    return text


_PLACE = kinds.simple("http or https URL", _place, {"type": "string", "pattern": r"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^#]+$"})


def _words(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) and each for each in value.values()):
        raise ValueError("must be a table of texts")
    return dict(value)


_MAP = kinds.simple("table of texts", _words, {"type": "object", "additionalProperties": kinds.string.schema})


@attrs.frozen
class Claims:
    """Which claims of a token say what; a name with dots leads into objects. What is not named is not read."""

    user: str = option(kinds.string, "sub", "Who it is, for the books, and the user of the store with that name or id.")
    team: str = option(kinds.string, "", "The team, or a list of such; see team_map.")
    roles: str = option(kinds.string, "", "Roles, as a list or between spaces; only those in role_map count.")
    models: str = option(kinds.string, "", "Patterns of the models it may ask for, as a list or between spaces.")


@attrs.frozen
class Jwt:
    """An issuer of tokens, which are keys as long as they are valid: signed by it, for this audience, not expired. Who
    shows one is a caller named by its subject. Needs the extra ``oidc``."""

    issuer: str = option(kinds.string, "", "What the claim iss has to be, to the letter; mostly a URL.")
    audience: tuple[str, ...] = option(_AUDIENCE, (), "What the claim aud has to have one of.")
    discovery: str = option(
        _PLACE, "", "Where it says of itself where its keys are; default: ISSUER/.well-known/openid-configuration."
    )
    jwks_url: str = option(_PLACE, "", "Where its keys are; default: it is asked.")
    algorithms: tuple[str, ...] = option(
        _ALGORITHMS, ("RS256", "ES256", "EdDSA"), "How its tokens may be signed; symmetric ones are none."
    )
    leeway: float = option(kinds.number(0, 300), 30.0, "Seconds by which its clock may differ from ours.")
    typ: str = option(kinds.string, "", 'What the header typ has to be, such as "at+jwt"; default: anything.')
    roles: tuple[str, ...] = option(kinds.strings, ("caller",), "What every token of it may do.")
    team_map: dict[str, str] = option(
        _MAP, attrs.Factory(dict), "Team in the token → team here; where there is any, others are none."
    )
    role_map: dict[str, str] = option(_MAP, attrs.Factory(dict), "Role in the token → role here.")
    claims: Claims = attrs.field(factory=Claims)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it, by option; ``""``: with all of it."""
        if not self.issuer:
            yield "", 'needs issuer, such as issuer = "https://login.example.com"'
        if not self.audience:
            yield "", "needs audience: whom its tokens are for. Without, those for others would be good here"
        if self.issuer and not self.jwks_url and not self.discovery and not self.issuer.startswith(("https:", "http:")):
            yield "issuer", "is no URL: set jwks_url, or discovery"
        for name in ("issuer", "discovery", "jwks_url"):
            if in_the_clear(getattr(self, name)):
                yield name, "must be https, unless it is on this machine: its keys could be anybody's"

    @property
    def metadata_url(self) -> str:
        """Where the issuer says what it has (OpenID Connect Discovery 1.0 section 4)."""
        return self.discovery or self.issuer.rstrip("/") + "/.well-known/openid-configuration"
