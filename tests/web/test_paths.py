"""One path, one meaning, whatever its spelling."""

from llmedge.operations import ENDPOINTS, Operation
from tests.fakes import CHAT, Edge, request
from tests.web.common import KEYS, Answers


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


MESSAGES = {"model": "mock-model", "max_tokens": 9, "messages": [{"role": "user", "content": "one two"}]}
GENERATE = {"contents": [{"parts": [{"text": "one two"}]}]}
INPUT = {"model": "mock-model", "input": "one two"}


class FromElsewhere(Answers):
    """Clients that were made for other servers, or whose base URL is one ``/v1`` or one slash out."""

    def test_every_operation(self) -> None:
        """Without the version, below Azure's, with slashes too many: as at its own path, and labelled so."""
        for endpoint in ENDPOINTS:
            if "{" in endpoint.path or not endpoint.path.startswith("/v1/"):
                continue
            if endpoint.operation in (Operation.RERANK, Operation.ADMIN):
                continue
            below = endpoint.path.removeprefix("/v1")
            for path in (
                below,
                f"/openai/v1{below}",
                f"/openai{below}",
                f"{endpoint.path}/",
                f"{below}//",
                f"/{endpoint.path}",
                endpoint.path.replace("/v1/", "/v1//"),
                f"//openai//v1{below}/",
                endpoint.path.replace("/v1/", "/v1/%2F"),
            ):
                edge = Edge()
                response = edge.ask(endpoint.method, path, {} if endpoint.method == "POST" else None)
                self.assertNotEqual(response.status, 404, path)
                self.assertEqual(edge.records[0].route, endpoint.path, path)

    def test_what_stands_in_a_path(self) -> None:
        edge = Edge()
        for path, model in (
            ("/models/mock-model:generateContent", "mock-model"),
            ("/v1beta/models/mock-model:generateContent/", "mock-model"),
            ("//v1beta/models/mock/a/b:generateContent", "mock/a/b"),
        ):
            self.assertEqual(edge.ask(path=path, body=GENERATE).status, 200, path)
            self.assertEqual(edge.records[-1].model, model)
        for path, name in (("/models/mock-model", "mock-model"), ("/v1/models/mock/x/", "mock/x")):
            self.assertEqual(edge.ask("GET", path).json()["id"], name)

    def test_a_deployment(self) -> None:
        """The path says which model, whatever the body does, and slashes may be in it or not be written as such."""
        for written, model in (
            ("mock-model", "mock-model"),
            ("mock/a/b", "mock/a/b"),
            ("mock%2Fa", "mock/a"),
            ("a%20b", "a b"),
            ("w%C3%B6rter", "wörter"),
        ):
            for below, body in (
                ("chat/completions", CHAT),
                ("completions", {"prompt": "x"}),
                ("embeddings", {"input": "x"}),
                ("responses", INPUT),
                ("images/generations", {"prompt": "x"}),
                ("audio/speech", {"model": "other", "input": "x"}),
            ):
                for named in ({}, {"model": "another/model"}):
                    edge = Edge('[providers.mock]\nvendor = "mock"\nmodels = ["*"]\n')
                    path = f"/openai/deployments/{written}/{below}?api-version=2024-10-21"
                    response = edge.ask(path=path, body={**body, **named})
                    self.assertEqual(response.status, 200, (path, response.body))
                    (record,) = edge.records
                    self.assertEqual((record.model, record.route), (model, f"/v1/{below}"))

    def test_heads_that_are_alike(self) -> None:
        """The second of two on a connection, whose head is known, goes where the first did."""
        edge = Edge()
        wire = edge.wire()
        for path, model in (("/openai/deployments/mock/a/chat/completions", "mock/a"), ("/chat/completions", "m")):
            for _ in range(2):
                wire.send(request(path=path, body=CHAT | {"model": "m"}))
                self.assertEqual(wire.response().status, 200)
                self.assertEqual((edge.records[-1].model, edge.records[-1].route), (model, "/v1/chat/completions"))

    def test_an_upload_to_a_deployment(self) -> None:
        """A form needs no field ``model``, and one that it has says nothing, as with Azure."""
        parts = '--b\r\ncontent-disposition: form-data; name="{}"\r\n\r\n{}\r\n'
        for fields in ("", parts.format("model", "mock/x"), parts.format("model", "another/model")):
            edge = Edge()
            body = f"{fields}{parts.format('file', 'x')}--b--\r\n".encode()
            path = "/openai/deployments/mock%2Fx/audio/transcriptions?api-version=1"
            response = edge.ask(path=path, body=body, content_type="multipart/form-data; boundary=b")
            self.assertEqual((response.status, edge.records[0].model), (200, "mock/x"), response.body)

    def test_bodies_that_are_none(self) -> None:
        """What is wrong with them is said as anywhere."""
        for body in (b"", b"[]", b"{", b'{"model": "\xff"}', b"[" * 3000):
            response = Edge().ask(
                path="/openai/deployments/m/chat/completions", body=body, headers={"content-type": "application/json"}
            )
            self.check(response, 400, "VALIDATION_ERROR")

    def test_keys(self) -> None:
        """Azure's header shows one; the same door is locked by every name."""
        edge = Edge(KEYS)
        for path in ("/openai/deployments/m/chat/completions", "/chat/completions", "//v1/chat/completions"):
            self.check(edge.ask(path=path, body=CHAT), 401, "AUTH_ERROR")
            self.check(edge.ask(path=path, body=CHAT, headers={"api-key": "wrong"}), 401, "AUTH_ERROR")
            self.assertEqual(edge.ask(path=path, body=CHAT, headers={"api-key": "key-a"}).status, 200)

    def test_what_is_no_clients(self) -> None:
        """Health and metrics are at their own paths only: a proxy in front that keeps one from the public, by a rule
        for this path, keeps all of it."""
        edge, closed = Edge(), Edge(KEYS)
        for path in ("/metrics", "/health", "/health/live", "/health/ready"):
            self.assertEqual((edge.ask("GET", path).status, closed.ask("GET", path).status), (200, 200), path)
            for other in (
                f"{path}/",
                f"/{path}",
                f"{path}%2F",
                f"{path}//",
                f"/openai{path}",
                f"/openai/v1{path}",
                f"//{path}",
            ):
                self.assertEqual((edge.ask("GET", other).status, closed.ask("GET", other).status), (404, 401), other)
        self.assertEqual(edge.ask("GET", "/health//live").status, 404)

    def test_what_is_nearly_right(self) -> None:
        """Is named."""
        for path, near in (
            ("/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/api/v1/chat/completions", "/v1/chat/completions"),
            ("/anthropic/v1/messages", "/v1/messages"),
            ("/v1/chat", "/v1/chat/completions"),
            ("/v1/chat/completion", "/v1/chat/completions"),
            ("/V1/Chat/Completions", "/v1/chat/completions"),
            ("/v1/embedding", "/v1/embeddings"),
            ("/v1/message/count_tokens", "/v1/messages/count_tokens"),
            ("/v1/audio/transcription/", "/v1/audio/transcriptions"),
            ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
            ("/v2/chat/completions", "/v1/chat/completions"),
            ("/healthz", "/health"),
        ):
            error = Edge().ask(path=path, body=CHAT).error
            self.assertEqual(error["code"], "NOT_FOUND")
            self.assertIn(f"Did you mean {near}?", error["message"], path)
        for path in ("/nothing", "/v1/files/x", "/" + "a" * 5000, "/v1/chat/completions" + "x" * 300):
            self.assertNotIn("Did you mean", Edge().ask(path=path, body=CHAT).error["message"], path)
