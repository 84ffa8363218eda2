"""Vendors behind a socket: enough of HTTP/1.1 and of OpenAI's chat completions for a gateway to ask them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from benchmarks.weather.vendors import RESET, Refused, Vendor

LONG = "long"
"""A word in the prompt of those calls that take their vendor long."""
_HEAD = {"id": "c1", "created": 1, "model": "x"}
_END = b"data: [DONE]\n\n"


class VendorProtocol(Protocol):
    """One connection of the gateway's, for one call after another."""

    factory: VendorFactory

    def __init__(self) -> None:
        self._received = b""
        self._work: Deferred[Any] | None = None

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if len(rest) < length:
            return
        self._received = rest[length:]
        name = head.split(b"/", 2)[1].decode()
        self._work = Deferred.fromCoroutine(self._answer(self.factory.vendors.get(name), rest[:length]))
        self._work.addErrback(self._failed)

    def connectionLost(self, reason: Any = None) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _answer(self, vendor: Vendor | None, body: bytes) -> None:
        if vendor is None or not body:
            self._whole(404, {"error": {"message": "there is nothing here"}})
            return
        request = json.loads(body)
        streamed, script = bool(request.get("stream")), vendor.script
        long = LONG in request["messages"][-1]["content"]
        usage = {"prompt_tokens": 100, "completion_tokens": script.words, "total_tokens": 100 + script.words}
        told = {"usage": usage} if script.usage else {}
        try:
            if not streamed:
                await vendor.work(long)
                message = {"role": "assistant", "content": "word " * script.words}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self._whole(200, {**_HEAD, "object": "chat.completion", "choices": [choice], **told}, _left(vendor))
                return
            await vendor.work(long, lambda: self._begin_stream(vendor), script.words)
        except Refused as refused:
            if refused.status == RESET:
                self.transport.abortConnection()
                return
            after = b"" if refused.retry_after is None else b"retry-after: %d\r\n" % refused.retry_after
            self._whole(refused.status, {"error": {"message": "not now", "type": "scripted"}}, after)
            return
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if told:
            self._event({"choices": [], **told})
        self._chunk(_END)
        self.transport.write(b"0\r\n\r\n")

    def _begin_stream(self, vendor: Vendor) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self._say(vendor, vendor.script.words)

    def _say(self, vendor: Vendor, left: int) -> None:
        """A word now, the others one after the other."""
        while left and self.connected:
            self._event({"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
            left -= 1
            if vendor.script.gap and left:
                self.factory.clock.callLater(vendor.script.gap, self._say, vendor, left)
                return

    def _event(self, document: dict[str, Any]) -> None:
        self._chunk(b"data: %b\n\n" % json.dumps(_HEAD | {"object": "chat.completion.chunk"} | document).encode())

    def _chunk(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, status: int, document: dict[str, Any], more: bytes = b"") -> None:
        body = json.dumps(document).encode()
        head = b"HTTP/1.1 %d said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
        self.transport.write(head % (status, len(body), more) + body)

    def _failed(self, failure: Failure) -> None:
        failure.trap(CancelledError)


def _left(vendor: Vendor) -> bytes:
    """OpenAI's headers about calls a second, if the vendor tells."""
    if (left := vendor.left()) is None:
        return b""
    line = b"x-ratelimit-%b-requests: %b\r\n"
    told = {b"limit": b"%d" % vendor.script.burst, b"remaining": b"%d" % left[0], b"reset": b"%.3fs" % left[1]}
    return b"".join(line % each for each in told.items())


class VendorFactory(Factory):
    """All vendors at one port, each under its name: ``/NAME/v1``."""

    protocol = VendorProtocol
    noisy = False

    def __init__(self, vendors: Mapping[str, Vendor], clock: Any) -> None:
        self.vendors = vendors
        self.clock = clock
