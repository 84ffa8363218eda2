"""Reads the body of a request that Twisted's or treq's callers give as an ``IBodyProducer``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface import implementer

HELD = 65536
"""Bytes that are held before the producer is paused. A body of known length that fits is sent in one piece, and again
where a kept connection turns out closed."""


@implementer(IConsumer)
class BodyProducerReader:
    """A :class:`~llmedge.model.UploadBody` made of an ``IBodyProducer``, which produces its body once.

    :ivar length: in bytes, as the producer says; ``None`` where it does not know.
    :ivar data: the whole body, if it was small.
    """

    whole = False

    def __init__(self, producer: Any) -> None:
        self.length: int | None = None if producer.length is UNKNOWN_LENGTH else int(producer.length)
        self.data: bytes | None = None
        self._producer = producer
        self._chunks: list[bytes] = []
        self._held = 0
        self._size = 0
        self._paused = False
        self._producing: Deferred[Any] | None = None
        self._over = False
        self._error: BaseException | None = None
        self._waiter: Deferred[None] | None = None

    @classmethod
    async def of(cls, producer: Any) -> BodyProducerReader:
        """The body; a small one is all here then.

        :raises Exception: what the producer failed with. :raises ValueError: it is not as long as it says.
        """
        body = cls(producer)
        if body.length is not None and body.length <= HELD:
            parts = []
            try:
                while data := await body.read():
                    parts.append(data)
            except BaseException:
                body.close()
                raise
            body.data = b"".join(parts)
        return body

    @property
    def again(self) -> bool:
        return self._producing is None

    def rewind(self) -> None:
        """Nothing was taken yet."""

    async def read(self) -> bytes:
        """The next piece; ``b""`` at the end. Errors as for :meth:`of`."""
        if self._producing is None:
            self._begin()
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._waiter = Deferred(lambda _: self.close())
            await self._waiter
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused and not self._over:
            self._paused = False
            self._producer.resumeProducing()
        return data

    def close(self) -> None:
        """No more of it is wanted. Harmless when repeated, and at the end."""
        if not self._over:
            self._over = True
            if self._producing is not None:
                self._producer.stopProducing()

    def _begin(self) -> None:
        self._producing = Deferred()  # in case the producer is done at once, or asks for more
        self._producing = maybeDeferred(self._producer.startProducing, self)
        self._producing.addCallbacks(self._done, self._failed)

    def _done(self, _: Any) -> None:
        if not self._over:
            self._over = True
            if self.length is not None and self._size < self.length:
                self._error = ValueError(f"a body of {self.length} bytes had {self._size}")
            self._notify()

    def _failed(self, failure: Failure) -> None:
        if not self._over:
            self._over = True
            self._error = failure.value
            self._notify()

    def _notify(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    # IConsumer, of the producer.

    def write(self, data: bytes) -> None:
        if self._over or not data:
            return
        self._size += len(data)
        if self.length is not None and self._size > self.length:
            self.close()
            self._error = ValueError(f"a body of {self.length} bytes has more")
            self._notify()
            return
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HELD and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._notify()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Body producers do not register (``IBodyProducer``)."""

    def unregisterProducer(self) -> None: ...
