"""The chain of identifiers: each knows one way to tell who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from llmedge.errors import AuthError
from llmedge.identity.credentials import Credentials
from llmedge.model import Caller


class Identifier(Protocol):
    """One way to tell who asks."""

    def identify(self, credentials: Credentials) -> Caller | Awaitable[Caller | None] | None:
        """The caller; ``None``: not known here, the next identifier is asked.

        What is known now is answered now. An awaitable may be cancelled when the client leaves or its deadline passes;
        it bounds its own time.

        :raises AuthError: known not to be let in; nobody else is asked. Never repeats what was presented.
        """


class IdentifierChain:
    """Asks identifiers in order; the first that knows the caller decides."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._identifiers = tuple(identifiers)

    def identify(self, credentials: Credentials, start: int = 0) -> Caller | Awaitable[Caller]:
        """Who sent the request, as the identifiers from ``start`` on know it.

        :returns: an awaitable only where an identifier has to ask somebody; it raises the same.
        :raises AuthError: nobody we know; the message never repeats what was sent.
        """
        for place in range(start, len(self._identifiers)):
            found = self._identifiers[place].identify(credentials)
            if isinstance(found, Caller):
                return found
            if found is not None:
                return self._wait(credentials, place, found)
        if credentials.key is None:
            raise AuthError("Missing API key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
        raise AuthError("Invalid API key")

    async def _wait(self, credentials: Credentials, place: int, found: Awaitable[Caller | None]) -> Caller:
        caller = await found or self.identify(credentials, place + 1)
        return caller if isinstance(caller, Caller) else await caller
