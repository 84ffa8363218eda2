"""What a request is answered through."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.web.http_headers import Headers

from llmedge.errors import EdgeError
from llmedge.sockets import unsent
from llmedge.web.edge import Edge


class Writer(Protocol):
    """An HTTP/1.1 connection, an HTTP/2 stream, or a message of a WebSocket: each frames an answer in its own way.

    ``write_head`` begins it, with ``lines`` that are headers already; a body whose length is in neither may follow if
    it ``has_body``. ``write_body`` writes a piece, which may be empty, and the end behind the ``last``. Then comes
    ``requestDone``; else the answer ends visibly unfinished, behind what is written (``break_off``) or at once
    (``abort``).

    ``refuse_soon`` has a request answered with its refusal, without waiting for its body where that can be.
    ``progress`` is a number that changes when the client has taken something, ``connection`` the transport of all that
    shares the client's connection, ``ends`` the addresses of that, the client's first; ``transport`` is ``None`` where
    that is not the writer's alone.
    """

    edge: Edge
    transport: Any
    ends: tuple[Any, Any]

    def write_head(
        self, version: bytes, code: int, reason: bytes, headers: Headers, lines: list[bytes], has_body: bool
    ) -> None: ...
    def write_body(self, data: bytes, last: bool) -> None: ...
    def requestDone(self, request: Any) -> None: ...
    def break_off(self) -> None: ...
    def abort(self) -> None: ...
    def refuse_soon(self, request: Any) -> None: ...
    def progress(self) -> int: ...
    def connection(self) -> Any: ...
    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def isSecure(self) -> bool: ...


class Http1Writer:
    """What both channels of HTTP/1.1 do alike as a :class:`Writer`, and for their site."""

    edge: Edge
    transport: Any
    requests: Any
    persistent: Any
    _upgraded: Any = None
    _refuse_early: Any
    _close: Any
    _give_up: Any
    _waits_for_more: Any
    abort: Any

    def refuse_soon(self, request: Any) -> None:
        """Answer ``request`` with its refusal as soon as the parser is off the stack, without waiting for its body."""
        self.edge.clock.callLater(0, self._refuse_early, request)

    def progress(self) -> int:
        return -unsent(self.transport)

    def connection(self) -> Any:
        return self.transport

    def drain(self) -> None:
        """Close as soon as the request under way, if there is one, is answered."""
        if self._upgraded is not None:
            self._upgraded.drain()
        elif not self.requests:
            self._close()
        else:
            self.persistent = False
            request = self.requests[0]
            if not request.startedWriting:
                request.responseHeaders.setRawHeaders(b"connection", [b"close"])

    def cut(self, error: EdgeError) -> None:
        """Answer the request under way, if there is one, with ``error``, or end its answer so; then close."""
        if self._upgraded is not None:
            self._upgraded.cut(error)
        elif not self.requests:
            self._close()
        elif self.requests[0].context.cut(error):
            pass  # who answers it does
        elif self._waits_for_more:
            self._give_up(error)
        else:
            self.abort()


def with_lines(headers: Headers, lines: list[bytes]) -> Headers:
    """``headers`` with those that are ``lines`` already."""
    for line in b"".join(lines).split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        headers._rawHeaders[name] = [value]
    return headers
