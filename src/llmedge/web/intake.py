"""A body on its way in: capped, and kept in memory or handed on."""

from __future__ import annotations

import io

from llmedge.body import BodyStream
from llmedge.config.sections.server import Server
from llmedge.errors import EdgeError, Overloaded, RequestTooLarge
from llmedge.web.context import RequestContext
from llmedge.web.paths import streams_body


class Intake:
    """The body of a request that does not come in one with its head. What is too much makes a refusal in the context.

    twisted.web keeps bodies over 100 kB in a temporary file; ours are capped, and a disk may be slow.

    :ivar size: bytes that have come.
    :ivar content: what is kept of them.
    :ivar stream: where they go instead, for who reads the body as it comes.
    """

    def __init__(self, limits: Server, context: RequestContext) -> None:
        self.size = 0
        self.content = io.BytesIO()
        self.stream: BodyStream | None = None
        self._limits = limits
        self._context = context
        self._cap, self._setting = limits.max_request_size, "server.max_request_size, MAX_REQUEST_SIZE"
        self._path = b""
        self._announced = 0

    def expect(self, path: bytes = b"", length: int | None = None) -> bool:
        """The body is for ``path``, and of ``length`` where that is announced. How much may come depends on the path:
        HTTP/2 tells the length first, HTTP/1.1 the path.

        :returns: whether the request is refused now, as :meth:`feed` does.
        """
        self._path = path or self._path
        self._announced = length or self._announced
        if streams_body(path):
            self._cap, self._setting = self._limits.max_upload_size, "server.max_upload_size"
        return bool(self._path) and self._announced > self._cap and self.refuse()

    def announce(self, length: int) -> bool:
        """A chunk says that so much more will come; see :meth:`feed`."""
        return self.size + length > self._cap and self.refuse()

    def feed(self, data: bytes) -> bool:
        """More of it has come."""
        self.size += len(data)
        if self.size > self._cap:
            return self.refuse()
        if self.stream is not None:
            self.stream.feed(data)
        elif self._context.refusal is None:
            self.content.write(data)
        return False

    @property
    def floods(self) -> bool:
        """Its client does not stop pushing what it was told is too much."""
        return self.size > 4 * self._cap + 1048576

    def as_stream(self) -> BodyStream:
        """All of it is here: to be read like one that is still coming."""
        stream = BodyStream()
        stream.feed(self.content.getvalue())
        stream.end()
        self.content.truncate(0)
        return stream

    def refuse(self, error: EdgeError | None = None) -> bool:
        """Keep nothing of it; ``error``, or that it is too large, is what its client is told.

        :returns: whether nothing else was to be said before.
        """
        if self._context.refusal is not None:
            return False
        too_large = RequestTooLarge(f"The request body is over {self._cap} bytes ({self._setting}).")
        self._context.refusal = error or too_large
        self.content.truncate(0)
        return True


def too_much_held() -> Overloaded:
    return Overloaded("The gateway holds as many bytes for you, or for all, as it may (server.max_held).")
