import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.upstream.resolver import Names
from llmedge.web.head import HeadCache
from tests.fakes import CHAT, Edge, Endpoint, Transport, request

TOML = """
[providers.v]
base_url = "http://127.0.0.1:1/v1"
[models.m]
targets = ["v/x"]
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


class Vendor(Transport):
    """Answers a stream with its beginning, and lets go of its protocol when it is closed, as real ones do."""

    def write(self, data: bytes) -> None:
        self.protocol.dataReceived(HEAD)
        for _ in range(3):
            self.protocol.dataReceived(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))

    def abortConnection(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionLost()))


class Leftovers(SynchronousTestCase):
    """What is over is gone at once: the collector would stop everybody to find it."""

    def setUp(self) -> None:
        gc.freeze()  # what there is already needs no look, which takes half a second
        self.addCleanup(gc.unfreeze)

    def left_by(
        self, edge: Edge, body: dict[str, Any], status: bytes = b"200 OK", before: Callable[[], Any] = lambda: None
    ) -> list[str]:
        """The objects of ours that only the collector finds, after a client that leaves in the middle."""

        def once() -> None:
            wire = edge.wire()
            wire.send(request(body=body))
            self.assertIn(status, wire.received())
            wire.leave()
            wire.transport.protocol = wire.transport.producer = wire.protocol = None
            edge.reactor.advance(100)
            edge.site.edge.heads = HeadCache()  # as if others had taken its place

        before()
        once()
        before()
        edge.records.clear()
        while gc.collect():  # what a finalizer brings back, and what was its own, is found by the next round
            pass
        enabled = gc.isenabled()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            once()
            edge.records.clear()
            gc.collect()
            return sorted({type(each).__qualname__ for each in gc.garbage if "llmedge" in type(each).__module__})
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            if enabled:
                gc.enable()

    def test_a_stream_that_was_left(self) -> None:
        self.patch(Names, "endpoint", lambda *_: Endpoint(Vendor))
        self.assertEqual(self.left_by(Edge(TOML), CHAT | {"model": "m", "stream": True}), [])

    def test_with_the_cache(self) -> None:
        """What each call asks for anew: what was kept is too old for the next one."""
        cache = "[cache]\nenabled = true\nttl = 10\n"
        self.patch(Names, "endpoint", lambda *_: Endpoint(Vendor))
        self.assertEqual(self.left_by(Edge(TOML + cache), CHAT | {"model": "m", "stream": True}), [])
        for stream in (False, True):
            self.assertEqual(self.left_by(Edge(cache), CHAT | {"stream": stream}), [])

    def test_a_refusal(self) -> None:
        """A flood of them is when the collector would be in the way most."""
        edge = Edge("[rate_limit]\nrpm = 1\nburst = 1\n")
        left = self.left_by(edge, dict(CHAT), b"429 ", edge.chat)
        self.assertEqual({"EdgeRequest", "RateLimited", "Record", "RequestContext"} & set(left), set())

    def test_a_whole_answer(self) -> None:
        self.assertEqual(self.left_by(Edge(), dict(CHAT)), [])
