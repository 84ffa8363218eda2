"""Why somebody is not let in."""

from __future__ import annotations

from llmedge.errors import AuthError, EdgeError, PermissionDenied


class KeyMissing(AuthError):
    """No key, where one is needed."""

    reason = "missing"


class KeyExpired(AuthError):
    """It was a key, or a token, until a moment that is over."""

    code = "KEY_EXPIRED"
    reason = "expired"


class KeyDisabled(PermissionDenied):
    """The key, or what it belongs to, is switched off."""

    code = "KEY_DISABLED"


class IssuerUnavailable(EdgeError):
    """Whose token it is cannot be known: the keys of its issuer could not be had."""

    status = 503
    code = "ISSUER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The keys of the token's issuer cannot be had at the moment: try again later.", retry_after=5)
