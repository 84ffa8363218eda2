"""What a request shows of who sent it: keys wherever SDKs put them, the connection, its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

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


class Credentials:
    """What identifiers see of a request. Has no ``repr`` that would show a key.

    :ivar headers: the values of each header, by its name as twisted.web keeps it (``X-Api-Key``).
    :ivar uri: path and query.
    :ivar peer: the address at the other end of the connection; ``None`` for a UNIX socket.
    :ivar certificate_names: the names in the client's verified certificate; none without one.
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
    ) -> None:
        self.headers = headers
        self.uri = uri
        self.peer = peer
        self.certificate_names = certificate_names
        self.key = self._find_key()

    def _find_key(self) -> bytes | None:
        """``x-api-key``, ``x-goog-api-key``, ``Authorization: Bearer`` (RFC 6750 section 2.1), ``?key=`` on Google's
        paths, or in a WebSocket's subprotocol, as OpenAI's realtime clients have it."""
        for name in (b"X-Api-Key", b"X-Goog-Api-Key"):
            if (values := self.headers.get(name)) and values[-1]:
                return values[-1].strip()
        scheme, _, token = self._header(b"Authorization").partition(b" ")
        if scheme.lower() == b"bearer" and token.strip():
            return token.strip()
        path, _, query = self.uri.partition(b"?")
        if query and path.startswith((b"/v1beta/", b"/v1/models")):
            for part in query.split(b"&"):
                if part.startswith(b"key=") and len(part) > 4:
                    return unquote_to_bytes(part[4:])
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
        """A proxy has passed the request on."""
        return not _FORWARDED.isdisjoint(self.headers)

    def _header(self, name: bytes) -> bytes:
        values = self.headers.get(name)
        return values[-1] if values else b""
