"""The body of a request on its way to a vendor, piece by piece, at the pace of both ends."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from llmedge.backpressure import WriteBackpressure
from llmedge.errors import UpstreamTimeout
from llmedge.model import Clock, UploadBody
from llmedge.sockets import unsent
from llmedge.upstream.connection import Connection
from llmedge.upstream.exchange import Exchange


async def send_body(
    connection: Connection, exchange: Exchange, body: UploadBody, clock: Clock, patience: float
) -> None:
    """Read ``body`` and write it behind the head that ``connection`` has sent for ``exchange``. Return when it is out,
    or nothing is to be sent any more; what came of it, the exchange tells.

    Not more is read than the vendor's socket takes. A vendor that answers before it has everything, with an error or
    a whole answer, is sent no more (RFC 9110 section 10.1.1, RFC 9112 section 9.5); the connection then cannot be
    used again.

    :param patience: seconds in which the vendor has to take something, while some waits for it.
    :raises EdgeError: the body cannot be read.
    """
    transport = connection.transport
    chunked = body.length is None
    reading: Deferred[bytes] | None = None

    def stalled() -> None:
        exchange.fail(UpstreamTimeout(f"did not take the request's body within {patience:g} s"))

    def stop_if_unwanted() -> None:
        nonlocal reading
        if not exchange.wants_body:
            unwanted, reading = reading, None
            if unwanted is not None:
                unwanted.cancel()
            pace.resumeProducing()

    pace = WriteBackpressure(transport, clock, patience, lambda: unsent(transport), stalled)
    exchange.listen(stop_if_unwanted)
    pace.start()
    try:
        while exchange.wants_body:
            reading = Deferred.fromCoroutine(body.read())
            try:
                data = await reading
            except CancelledError:
                if reading is not None or exchange.wants_body:
                    raise  # it is the call that was cancelled
                return
            reading = None
            if not exchange.wants_body:
                return
            if data:
                connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            else:
                if chunked:
                    connection.send(b"0\r\n\r\n")
                connection.sending = False
                return
            await pace.ready()
    finally:
        exchange.listen(None)
        pace.stop()
