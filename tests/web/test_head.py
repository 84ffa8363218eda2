"""Heads of requests: hosts, sizes."""

from tests.fakes import Edge, request
from tests.web.common import Answers


class Heads(Answers):
    def test_bad_host(self) -> None:
        """A Host that is none is a 400, never a 500 (RFC 9112 section 3.2)."""
        edge = Edge()
        for host in ("..", "a" * 300, "a b", "x@y", "\xff"):
            response = edge.ask("GET", "/health", headers={"host": host})
            self.check(response, 400, "VALIDATION_ERROR")
        for host in ("a" * 70, "[::1]:80", "h:1", "x_y.example"):
            self.assertEqual(edge.ask("GET", "/health", headers={"host": host}).status, 200)
        wire = edge.wire()
        wire.send(b"GET /health HTTP/1.1\r\n\r\n")
        self.assertEqual(wire.response().status, 400)

    def test_heads_that_are_too_large(self) -> None:
        """Many headers, long headers and long URLs are refused with what to change."""
        edge = Edge("[server]\nmax_headers = 20\nmax_header_size = 4000\nmax_url_length = 100\n")
        many = {f"x-{number}": "y" for number in range(30)}
        for kw, status in (
            ({"headers": many}, 431),
            ({"headers": {"x": "y" * 5000}}, 431),
            ({"path": "/" + "x" * 200}, 414),
            ({"path": "/" + "x" * 20000}, 431),
        ):
            wire = edge.wire()
            wire.send(request("GET", kw.pop("path", "/health"), **kw))
            response = wire.response()
            self.assertEqual((response.status, response.error["code"]), (status, "VALIDATION_ERROR"))
            self.assertIn("server.max_", response.error["message"])
