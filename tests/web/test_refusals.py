"""What is refused, when, and in which words."""

from tests.fakes import CHAT, Edge, request
from tests.web.common import KEYS, Answers


class Refusals(Answers):
    def test_codes(self) -> None:
        """Each kind of bad request has its status and code, in the one shape."""
        edge = Edge("[server]\nmax_request_size = 300\n")
        self.check(edge.ask("GET", "/v1/nope"), 404, "NOT_FOUND")
        self.check(edge.ask("GET", "/nope"), 404, "NOT_FOUND")
        self.check(edge.ask("GET", "/v1/chat/completions"), 405, "METHOD_NOT_ALLOWED", allow="POST")
        self.check(edge.ask("POST", "/health", {}), 405, "METHOD_NOT_ALLOWED", allow="GET, HEAD")
        self.check(edge.ask(body=CHAT, content_type="text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")
        self.check(edge.ask(body=CHAT, headers={"content-encoding": "gzip"}), 415, "UNSUPPORTED_MEDIA_TYPE")
        self.check(edge.ask(body=b"{nope"), 400, "VALIDATION_ERROR")
        self.check(edge.ask(body={"model": "m"}), 400, "VALIDATION_ERROR")
        self.check(edge.ask(body=b" " * 301), 413, "REQUEST_TOO_LARGE")

    def test_refused_early_and_let_in_later(self) -> None:
        """A path is known by what it says decoded, also where somebody with the same head was refused first."""
        edge = Edge()
        data = request(path="/v1/chat%2Fcompletions", body=CHAT)
        wire = edge.wire("8.8.8.8")
        wire.send(data[:-1])
        edge.reactor.advance(0)
        self.assertEqual(wire.response().status, 401)
        wire = edge.wire()
        wire.send(data)
        self.assertEqual(wire.response().status, 200)
        record = edge.records[-1]
        self.assertEqual((record.route, record.operation), ("/v1/chat/completions", "chat"))

    def test_refused_early_or_late(self) -> None:
        """Is answered the same, whatever is known of its head: by the path as it is decoded."""
        edge = Edge(KEYS)
        data = request(path="/v1/chat%2Fcompletions", body=CHAT, headers={"x-goog-api-key": "no"})
        bodies = []
        for pieces in ((data[:-1],), (data,), (data[:-1],), (data,)):
            wire = edge.wire()
            for piece in pieces:
                wire.send(piece)
            edge.reactor.advance(0)
            bodies.append(wire.response().body)
        self.assertEqual(len(set(bodies)), 1)
        self.assertEqual({record.route for record in edge.records}, {"/v1/chat/completions"})
        self.assertEqual([edge.ask(path="/%68ealth", body=CHAT).status for _ in range(3)], [405] * 3)

    def test_not_http(self) -> None:
        """Garbage is a JSON 400 and the end of the connection."""
        wire = Edge().wire()
        wire.send(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (400, "VALIDATION_ERROR"))
        self.assertTrue(wire.transport.gone)

    def test_a_client_that_does_not_stop_pushing(self) -> None:
        """It is heard out for a while, then cut off."""
        edge = Edge("[server]\nmax_request_size = 1000\n")
        wire = edge.wire()
        wire.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n")
        for _ in range(40):
            if not wire.transport.gone:
                wire.send(b"x" * 65536)
        self.assertTrue(wire.transport.aborted)

    def test_a_defect_says_nothing(self) -> None:
        """A failure of ours is a 500 in our shape, without a word of what failed; the log has it."""
        edge = Edge()
        edge.service.graph.pipeline.models.names = None
        response = edge.ask("GET", "/v1/models")
        self.check(response, 500, "INTERNAL_ERROR")
        self.assertNotIn("NoneType", response.body.decode())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
