"""Reads the body of a request that Twisted's or treq's callers give as an ``IBodyProducer``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface import implementer

from llmedge.body import HIGH_WATER, BodyStream


@implementer(IConsumer)
class BodyProducerReader(BodyStream):
    """A :class:`~llmedge.model.UploadBody` made of an ``IBodyProducer``, which produces its body once.

    :ivar length: in bytes, as the producer says; ``None`` where it does not know.
    :ivar data: the whole body, if it was small: one of known length that is held anyway is sent in one piece, and
        again where a kept connection turns out closed.
    """

    whole = False

    def __init__(self, producer: Any) -> None:
        super().__init__(producer.pauseProducing, self._resume_producer)
        self.length: int | None = None if producer.length is UNKNOWN_LENGTH else int(producer.length)
        self.data: bytes | None = None
        self._producer = producer
        self._size = 0
        self._producing: Deferred[Any] | None = None

    @classmethod
    async def of(cls, producer: Any) -> BodyProducerReader:
        """The body; a small one is all here then.

        :raises Exception: what the producer failed with. :raises ValueError: it is not as long as it says.
        """
        body = cls(producer)
        if body.length is not None and body.length <= HIGH_WATER:
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
            self._producing = Deferred()  # in case the producer is done at once, or asks for more
            self._producing = maybeDeferred(self._producer.startProducing, self)
            self._producing.addCallbacks(self._done, lambda failure: self.fail(failure.value))
        return await super().read()

    def close(self) -> None:
        """No more of it is wanted. Harmless when repeated, and at the end."""
        if not self.over:
            self.over = True
            if self._producing is not None:
                self._producer.stopProducing()

    def _done(self, _: Any) -> None:
        if self.length is not None and self._size < self.length:
            self.fail(ValueError(f"a body of {self.length} bytes had {self._size}"))
        self.end()

    def _resume_producer(self) -> None:
        if not self.over:
            self._producer.resumeProducing()

    # IConsumer, of the producer.

    def write(self, data: bytes) -> None:
        if self.over:
            return
        self._size += len(data)
        if self.length is not None and self._size > self.length:
            self.fail(ValueError(f"a body of {self.length} bytes has more"))
            self._producer.stopProducing()
        else:
            self.feed(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Body producers do not register (``IBodyProducer``)."""

    def unregisterProducer(self) -> None: ...
