"""The chain of identifiers, each of which knows one way to tell who asks, and what a request shows them: keys wherever
SDKs put them, the connection, its certificate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable
from urllib.parse import unquote_to_bytes

from llmedge.errors import AuthError, ValidationError
from llmedge.identity.refusals import KeyMissing
from llmedge.model import Caller

_FORWARDED = frozenset(  # in the form that twisted.web's Headers keep names in
    b"-".join(part.capitalize() for part in name.split(b"-"))
    for name in (
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
    )
)
_ONCE = (b"Authorization", b"X-Api-Key", b"X-Goog-Api-Key", b"Api-Key")
LONGEST_KEY = 8192
"""Bytes of a key or token; what is longer is not looked at."""


class Credentials:
    """What identifiers see of a request. Has no ``repr`` that would show a key.

    :raises ValidationError: it shows two keys in one place.

    :ivar headers: the values of each header, by its name as twisted.web keeps it (``X-Api-Key``).
    :ivar uri: path and query.
    :ivar peer: the address at the other end of the connection; ``None`` for a UNIX socket.
    :ivar certificate_names: the names in the client's verified certificate; none without one.
    :ivar version: of HTTP; ``b""`` where it is not known yet, that is while the body of a request comes in.
    :ivar key: the key or token presented; ``None`` for none.
    :ivar lasting: set by an identifier whose answer, given at once, holds for all requests with the same head as long
        as this chain is in force. Only for what follows from the key alone and holds until the next reload; what the
        connection shows (peer, certificate), or what may expire or be revoked, does not.
    """

    lasting = False

    def __init__(
        self,
        headers: Mapping[bytes, list[bytes]],
        uri: bytes,
        peer: str | None,
        certificate_names: Callable[[], frozenset[str]],
        version: bytes = b"HTTP/1.1",
    ) -> None:
        self.headers = headers
        self.uri = uri
        self.peer = peer
        self.certificate_names = certificate_names
        self.version = version
        self.key = self._find_key()

    def _find_key(self) -> bytes | None:
        """``x-api-key``, ``x-goog-api-key``, Azure's ``api-key``, ``Authorization: Bearer`` (RFC 6750 section 2.1),
        ``?key=`` on Google's paths, or in a WebSocket's subprotocol, as OpenAI's realtime clients have it.

        :raises ValidationError: one of these headers is there twice: of two parsers in a row each might take another.
        """
        headers = self.headers
        for name in _ONCE:
            if name in headers and len(headers[name]) > 1:
                raise ValidationError("A header that says who asks is there twice.")
        for name in (b"X-Api-Key", b"X-Goog-Api-Key", b"Api-Key"):
            if (values := self.headers.get(name)) and values[-1]:
                return values[-1].strip()
        scheme, _, token = self._header(b"Authorization").partition(b" ")
        if scheme.lower() == b"bearer" and token.strip():
            return token.strip()
        path, _, query = self.uri.partition(b"?")
        if query and (path.startswith((b"/v1beta/", b"/v1/models")) or b":" in path):
            for part in query.split(b"&"):
                if part.startswith(b"key=") and len(part) > 4:
                    return unquote_to_bytes(part[4:])
        if self._header(b"Upgrade").lower() != b"websocket":
            return None
        for name in self._header(b"Sec-Websocket-Protocol").split(b","):
            if name.strip().startswith(b"openai-insecure-api-key."):  # browsers can set no other header of a WebSocket
                return name.strip().removeprefix(b"openai-insecure-api-key.") or None
        return None

    @property
    def host(self) -> str:
        """The ``Host`` header in lower case, ``"localhost"`` without one."""
        return (self._header(b"Host") or b"localhost").decode("latin-1").lower()

    @property
    def forwarded(self) -> bool:
        """A proxy has passed the request on: it says so, or speaks HTTP/1.0, as nginx does by default, and no SDK."""
        return self.version == b"HTTP/1.0" or not _FORWARDED.isdisjoint(self.headers)

    def _header(self, name: bytes) -> bytes:
        values = self.headers.get(name)
        return values[-1] if values else b""


class Identifier(Protocol):
    """One way to tell who asks."""

    def identify(self, credentials: Credentials) -> Caller | Awaitable[Caller | None] | None:
        """The caller; ``None``: not known here, the next identifier is asked.

        What is known now is answered now. An awaitable may be cancelled when the client leaves or its deadline passes;
        it bounds its own time.

        :raises AuthError: known not to be let in; nobody else is asked. Never repeats what was presented.
        """


@runtime_checkable
class Remembers(Protocol):
    """An identifier that keeps what it found."""

    def forget(self) -> None:
        """It does not hold any more."""


class IdentifierChain:
    """Asks identifiers in order; the first that knows the caller decides.

    :ivar epoch: as long as it is the same, what was found for a lasting head holds.
    """

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._identifiers = tuple(identifiers)
        self.epoch = object()

    def forget(self) -> None:
        """Somebody may be another one now, or nobody: what was found before does not hold any more."""
        self.epoch = object()
        for each in self._identifiers:
            if isinstance(each, Remembers):
                each.forget()

    def identify(self, credentials: Credentials, start: int = 0) -> Caller | Awaitable[Caller]:
        """Who sent the request, as the identifiers from ``start`` on know it.

        :returns: an awaitable only where an identifier has to ask somebody; it raises the same.
        :raises AuthError: nobody we know; the message never repeats what was sent.
        """
        if credentials.key is not None and len(credentials.key) > LONGEST_KEY:
            raise AuthError(f"Invalid API key: it has more than {LONGEST_KEY} bytes.")
        for place in range(start, len(self._identifiers)):
            found = self._identifiers[place].identify(credentials)
            if isinstance(found, Caller):
                return found
            if found is not None:
                return self._wait(credentials, place, found)
        if credentials.key is None:
            raise KeyMissing("Missing API key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
        raise AuthError("Invalid API key")

    async def _wait(self, credentials: Credentials, place: int, found: Awaitable[Caller | None]) -> Caller:
        caller = await found or self.identify(credentials, place + 1)
        return caller if isinstance(caller, Caller) else await caller
