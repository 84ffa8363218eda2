"""One path, one meaning, whatever its spelling."""

from tests.fakes import CHAT, Edge, request
from tests.web.common import Answers


class Paths(Answers):
    def test_encoded_paths(self) -> None:
        """One path, one meaning: an encoded path is counted and limited like the plain one."""
        edge = Edge()
        response = edge.ask(path="/v1/chat/%63ompletions", body=CHAT)
        self.assertEqual(response.status, 200)
        self.assertEqual((edge.records[0].operation, edge.records[0].route), ("chat", "/v1/chat/completions"))
        for path, status in (("/%ff", 400), ("/v1/models/%ff", 400), ("/%2563", 404), ("/caf%c3%a9", 404), ("*", 404)):
            self.check(edge.ask("GET", path), status, "VALIDATION_ERROR" if status == 400 else "NOT_FOUND")
        self.assertEqual(edge.ask("GET", "/v1/models/mock%2Fx").json()["id"], "mock/x")

    def test_models_of_a_provider(self) -> None:
        """Google's methods take PROVIDER/MODEL right behind the version, as the AI SDK writes it; no other path of that
        form is anything."""
        edge = Edge()
        body = {"contents": [{"parts": [{"text": "x"}]}]}
        single, several = {"content": body["contents"][0]}, {"requests": [{"content": body["contents"][0]}]}
        for version in ("v1", "v1beta"):
            for verb, given, operation in (
                ("generateContent", body, "chat"),
                ("streamGenerateContent?alt=sse", body, "chat"),
                ("countTokens", body, "count_tokens"),
                ("embedContent", single, "embeddings"),
                ("batchEmbedContents", several, "embeddings"),
            ):
                for written, model in (("mock/x", "mock/x"), ("mock%2Fx", "mock/x"), ("mock/a/b:c", "mock/a/b:c")):
                    path = f"/{version}/{written}:{verb}"
                    self.assertEqual(edge.ask(path=path, body=given).status, 200, path)
                    record = edge.records[-1]
                    self.assertEqual((record.model, record.operation), (model, operation))
                    self.assertEqual(record.route, f"/{version}/{{provider}}/{{model}}:{verb.partition('?')[0]}")
        for method, path, status, allow in (
            ("GET", "/v1beta/mock/x:generateContent", 405, "POST"),
            ("POST", "/v1beta/x:generateContent", 404, None),
            ("POST", "/v1beta/mock/x:predict", 404, None),
            ("POST", "/v1beta/mock/x", 404, None),
            ("GET", "/v1beta/mock/x", 404, None),
            ("POST", "/v1/files/x", 404, None),
            ("POST", "/v2/mock/x:generateContent", 404, None),
            ("POST", "/mock/x:generateContent", 404, None),
        ):
            response = edge.ask(method, path, body if method == "POST" else None)
            self.assertEqual((response.status, response.headers.get("allow")), (status, allow), path)

    def test_a_method_in_lower_case(self) -> None:
        """Is another method, also where the path is worked out by Klein."""
        edge = Edge()
        self.check(edge.ask("post", body=CHAT), 405, "METHOD_NOT_ALLOWED", allow="GET, HEAD, POST")
        self.check(edge.ask("Get", "/v1/models/mock-model"), 405, "METHOD_NOT_ALLOWED", allow="GET, HEAD, POST")
        self.check(edge.ask("post", "/nothing", body=CHAT), 404, "NOT_FOUND")

    def test_absolute_and_strange_targets(self) -> None:
        """No request line makes the gateway call anything: destinations come from configuration only."""
        edge = Edge()
        for path in ("//evil/v1/chat/completions", "/v1/../v1/models"):
            self.assertEqual(edge.ask(path=path, body=CHAT).status, 404)
        for path in ("evil/v1/chat/completions", "ftp://localhost/v1/models", "http:///v1/models", "localhost:443"):
            self.assertEqual(edge.ask(path=path, body=CHAT).status, 400)
        tunnel = edge.wire()
        tunnel.send(request("CONNECT", "169.254.169.254:80") + request("GET", "/health"))
        self.assertEqual((tunnel.response().status, tunnel.received(), tunnel.transport.gone), (400, b"", True))
        # The absolute form is served (RFC 9112 section 3.2.2), as its path here; its host is then what counts.
        served = edge.ask(path="http://localhost:8080/v1/chat/completions?x=1", body=CHAT, headers={"host": "evil"})
        self.assertEqual((served.status, edge.records[-1].route), (200, "/v1/chat/completions"))
        self.assertEqual(edge.ask("GET", "HTTP://127.0.0.1").status, 200)
        foreign = edge.ask(path="http://169.254.169.254/v1/chat/completions", body=CHAT)
        self.assertEqual(foreign.status, 401)
        named = edge.ask(body=CHAT, headers={"host": "169.254.169.254", "x-api-base": "http://evil", "forwarded": "x"})
        self.assertEqual(named.status, 401)
        self.assertEqual(edge.reactor.tcpClients, [])
