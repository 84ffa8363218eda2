"""The states of an HTTP/1.1 connection: what is drawn is what is so."""

import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.web.http1_llhttp import LlhttpChannel
from llmedge.web.http1_states import TRANSITIONS, State
from tests.web.bare import BareEdge

PAGE = Path(__file__).parent.parent.parent / "docs" / "states.rst"
GET = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n"


class States(SynchronousTestCase):
    def test_the_table_is_the_one_in_force(self) -> None:
        """Row by row; to CLOSED lead all."""
        rows = re.findall(r"(?m)^``([A-Z]+)`` .* {2,}(.+)$", PAGE.read_text())
        told = {State[name]: {State[word] for word in re.findall("[A-Z]+", leads)} for name, leads in rows}
        self.assertEqual(told, {state: leads - {State.CLOSED} for state, leads in TRANSITIONS.items()})
        for state, leads in TRANSITIONS.items():
            self.assertEqual(State.CLOSED in leads, state is not State.CLOSED)

    def test_a_walk(self) -> None:
        """What bytes and answers make of a connection."""
        waiting: list[Deferred[None]] = []

        async def handler(request: object) -> None:
            waiting.append(Deferred())
            await waiting[-1]

        edge = BareEdge("llhttp", handler)
        wire = edge.wire()
        wire.send(GET[:9])
        channel: LlhttpChannel = wire.protocol.channel
        self.assertIs(channel._state, State.HEAD)
        wire.send(GET[9:])
        self.assertIs(channel._state, State.ANSWERING)
        edge.resource.handler = self.answer
        channel.requests[0].finish()
        for data, state in (
            (b"", State.IDLE),
            (b"\r", State.HEAD),
            (b"\n", State.IDLE),
            (POST, State.BODY),
            (b"ab", State.BODY),
            (b"cd" + GET + POST, State.BODY),
            (b"abcd", State.IDLE),
            (b"\x16\x03\x01", State.CLOSED),
        ):
            wire.send(data)
            self.assertIs(channel._state, state, data)

    async def answer(self, request: object) -> None:
        request.finish()  # type: ignore[attr-defined]

    def test_what_is_not_in_the_table(self) -> None:
        """Cannot happen."""
        wire = BareEdge("llhttp").wire()
        wire.send(GET)
        with self.assertRaises(RuntimeError) as caught:
            wire.protocol.channel._become(State.UPGRADED)
        self.assertEqual(str(caught.exception), "A connection that is IDLE cannot become UPGRADED.")

    def test_each_body_has_a_time_of_its_own(self) -> None:
        """Also one that begins in the read that ends another."""
        edge = BareEdge("llhttp", body_timeout=10.0)
        wire = edge.wire()
        wire.send(POST + b"ab")
        edge.clock.advance(8)
        wire.send(b"cd" + POST + b"ab")
        self.assertEqual(wire.response().status, 200)
        edge.clock.advance(8)
        self.assertEqual(wire.received(), b"")
        wire.send(b"cd")
        self.assertEqual(wire.response().status, 200)
