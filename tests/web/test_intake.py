"""Bodies on their way in: their type, their size, their parsing."""

from tests.fakes import CHAT, Edge, request
from tests.web.common import Answers


class Bodies(Answers):
    def test_content_type_may_have_parameters(self) -> None:
        """And has no case."""
        response = Edge().ask(body=CHAT, content_type="Application/JSON; charset=utf-8")
        self.assertEqual(response.status, 200)

    def test_chunked_body_over_the_limit(self) -> None:
        """The cap counts what arrives, whatever was announced; the rest is not kept."""
        edge = Edge("[server]\nmax_request_size = 1000\n")
        wire = edge.wire()
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(5):
            wire.send(b"200\r\n" + b"x" * 512 + b"\r\n")
        self.assertEqual(wire.protocol.channel.requests[0].content.getvalue(), b"")
        wire.send(b"0\r\n\r\n")
        self.assertEqual(wire.response().status, 413)

    def test_answered_within_a_chunked_body(self) -> None:
        """What is still in the same read is thrown away, to the last chunk."""
        wire = Edge().wire()
        headers = {"content-type": "multipart/form-data; boundary=x", "transfer-encoding": "chunked"}
        wire.send(request(path="/v1/images/edits", headers=headers) + b"2\r\n{}\r\n0\r\n\r\n")
        self.assertEqual(wire.response().status, 400)

    def test_expect_continue(self) -> None:
        """A body that would be refused is refused before it is sent; another one is asked for."""
        edge = Edge("[server]\nmax_request_size = 1000\n")
        for length, first in ((2000, b"HTTP/1.1 413"), (500, b"HTTP/1.1 100 Continue")):
            wire = edge.wire()
            wire.send(request("POST", headers={"expect": "100-continue", "content-length": str(length)}))
            edge.reactor.advance(0)
            self.assertTrue(wire.received().startswith(first))

    def test_large_bodies(self) -> None:
        """They are parsed by a thread, with the same result and the same errors."""
        edge = Edge()
        content = [{"role": "user", "content": "word " * 100000}]
        self.assertEqual(edge.chat(messages=content).status, 200)
        self.assertEqual(edge.chat(messages=content, temperature="hot").error["param"], "temperature")
        deep = b'{"model":"m","messages":[],"x":' + b"[" * 200 + b"]" * 200 + b"}"
        self.assertIn("nested more than 100 deep", edge.ask(body=deep).error["message"])
