"""Where no guardrail is configured: who carries some is served nothing."""

from __future__ import annotations

from collections.abc import Awaitable

from llmedge.errors import EdgeError
from llmedge.identity.chain import Credentials, Identifier, Remembers
from llmedge.model import Caller


class NotGuarded(EdgeError):
    """The guardrails of a key, or of what it belongs to, are not there."""

    status = 503
    code = "guardrail_unavailable"


class Unguarded:
    """An identifier whose callers may carry guardrails, where there are none.

    :param identifier: who knows them.
    """

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier

    def identify(self, credentials: Credentials) -> Caller | Awaitable[Caller | None] | None:
        """:raises NotGuarded: the caller carries one. :raises AuthError: as the identifier does."""
        found = self._identifier.identify(credentials)
        return _bare(found) if found is None or isinstance(found, Caller) else _later(found)

    def forget(self) -> None:
        """What was found before does not hold any more."""
        if isinstance(self._identifier, Remembers):
            self._identifier.forget()


async def _later(found: Awaitable[Caller | None]) -> Caller | None:
    return _bare(await found)


def _bare(caller: Caller | None) -> Caller | None:
    if caller is not None and caller.guardrails:
        raise NotGuarded(f"The guardrail '{caller.guardrails[0]}' of this key is not configured.")
    return caller
