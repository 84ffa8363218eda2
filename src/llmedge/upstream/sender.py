"""The body of a request on its way to a vendor, piece by piece, at the pace of both ends."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from llmedge.backpressure import WriteBackpressure
from llmedge.errors import UpstreamTimeout
from llmedge.model import Clock, UploadBody
from llmedge.sockets import unsent
from llmedge.upstream.connection import Connection
from llmedge.upstream.exchange import Exchange


class Sender:
    """Reads ``body`` and writes it behind the head that ``connection`` has sent for ``exchange``.

    Not more is read than the vendor's socket takes. A vendor that answers before it has everything, with an error or
    a whole answer, is sent no more (RFC 9110 section 10.1.1, RFC 9112 section 9.5); the connection then cannot be
    used again.

    :param patience: seconds in which the vendor has to take something, while some waits for it.
    """

    def __init__(
        self, connection: Connection, exchange: Exchange, body: UploadBody, clock: Clock, patience: float
    ) -> None:
        self._connection = connection
        self._exchange = exchange
        self._body = body
        self._patience = patience
        self._reading: Deferred[bytes] | None = None
        transport = connection.transport
        self._pace = WriteBackpressure(transport, clock, patience, lambda: unsent(transport), self._stalled)

    async def run(self) -> None:
        """Return when the body is out, or nothing is to be sent any more; what came of it, the exchange tells.

        :raises EdgeError: the body cannot be read.
        """
        connection, exchange = self._connection, self._exchange
        chunked = self._body.length is None
        exchange.listen(self._stop_if_unwanted)
        self._pace.start()
        try:
            while exchange.wants_body:
                data = await self._read()
                if not exchange.wants_body:
                    return
                if data:
                    connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                else:
                    if chunked:
                        connection.send(b"0\r\n\r\n")
                    connection.sending = False
                    return
                await self._pace.ready()
        finally:
            exchange.listen(None)
            self._pace.stop()

    def _stop_if_unwanted(self) -> None:
        if not self._exchange.wants_body:
            reading, self._reading = self._reading, None
            if reading is not None:
                reading.cancel()
            self._pace.resumeProducing()

    async def _read(self) -> bytes:
        reading = self._reading = Deferred.fromCoroutine(self._body.read())
        try:
            return await reading
        except CancelledError:
            if self._reading is not None or self._exchange.wants_body:
                raise  # it is the call that was cancelled
            return b""
        finally:
            self._reading = None

    def _stalled(self) -> None:
        self._exchange.fail(UpstreamTimeout(f"did not take the request's body within {self._patience:g} s"))
