"""Every request has its id and its record."""

from tests.fakes import Edge, request
from tests.web.common import Answers


class Records(Answers):
    def test_refused_requests_are_on_record(self) -> None:
        """A request refused while it arrives has its id, its record, its metric, and the headers of any answer."""
        edge = Edge('[server]\nmax_request_size = 100\n[cors]\norigins = ["https://a.example"]\n')
        wire = edge.wire()
        sent = {"x-request-id": "r-7", "origin": "https://a.example", "content-length": "3000000"}
        wire.send(request("POST", headers=sent))
        edge.reactor.advance(0)
        response = wire.response()  # before a byte of the body
        self.check(response, 413, "REQUEST_TOO_LARGE", **{"x-request-id": "r-7", "connection": "close"})
        self.assertEqual(response.headers["access-control-allow-origin"], "https://a.example")
        self.assertIn("x-ratelimit-remaining-requests", response.headers)
        slow = edge.wire()
        slow.send(request("POST", headers={"content-length": "50"}) + b"{")
        edge.reactor.advance(61)
        self.check(slow.response(), 408, "REQUEST_TIMEOUT")
        self.assertEqual(
            [(r.status, r.error_code) for r in edge.records], [(413, "REQUEST_TOO_LARGE"), (408, "REQUEST_TIMEOUT")]
        )
        self.assertIn('llm_errors_total{code="REQUEST_TIMEOUT"} 1.0', edge.ask("GET", "/metrics").body.decode())

    def test_request_ids(self) -> None:
        """A sane id is kept, anything else replaced."""
        edge = Edge()
        good = edge.ask("GET", "/health", headers={"x-request-id": "abc-1.2:3_X"})
        self.assertEqual(good.headers["x-request-id"], "abc-1.2:3_X")
        for bad in ("", "a b", "x" * 129, '"><script>'):
            given = edge.ask("GET", "/health", headers={"x-request-id": bad}).headers["x-request-id"]
            self.assertRegex(given, r"^req_[0-9a-f]{24}$")
