import gzip
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge import __version__
from llmedge.config import ConfigError
from tests.fakes import CHAT, Edge, request

KEYS = '[[auth.keys]]\nname = "a"\nkey = "key-a"\n[[auth.keys]]\nname = "b"\nkey = "key-b"\nmodels = ["gpt-*"]\n'


class Health(SynchronousTestCase):
    def test_shape(self) -> None:
        """All three answer with status, timestamp and version."""
        edge = Edge()
        for path in ("/health", "/health/ready", "/health/live"):
            response = edge.ask("GET", path)
            self.assertEqual(response.status, 200)
            expected = {"status": "healthy", "timestamp": "2023-11-14T22:13:20Z", "version": __version__}
            self.assertEqual(response.json(), expected)

    def test_head(self) -> None:
        response = Edge().ask("HEAD", "/health")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_index_points_to_the_docs(self) -> None:
        self.assertIn("docs", Edge().ask("GET", "/").json())

    def test_stopping(self) -> None:
        """Ready goes 503 while the service stops; live stays."""
        edge = Edge()
        edge.service._stopping = True
        self.assertEqual(edge.ask("GET", "/health/ready").status, 503)
        self.assertEqual(edge.ask("GET", "/health/live").status, 200)


class Chat(SynchronousTestCase):
    def test_an_answer(self) -> None:
        """The mock repeats the question, counts words, and its answer is OpenAI's in shape."""
        response = Edge().chat()
        self.assertEqual((response.status, response.headers["content-type"]), (200, "application/json"))
        answer = response.json()
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["choices"][0]["message"]["content"], "This is a mock answer to: one two three")
        self.assertEqual(answer["usage"], {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12})

    def test_a_stream(self) -> None:
        """Event stream, terminal event, clean end, no usage unasked."""
        response = Edge().chat(stream=True)
        self.assertEqual(response.headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertTrue(response.complete)
        *chunks, done = response.events()
        self.assertEqual(done, "[DONE]")
        deltas = [json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks]
        self.assertEqual("".join(deltas), "This is a mock answer to: one two three")
        self.assertNotIn("usage", response.body.decode())

    def test_usage_on_request(self) -> None:
        response = Edge().chat(stream=True, stream_options={"include_usage": True})
        last = json.loads(response.events()[-2])
        self.assertEqual((last["choices"], last["usage"]["completion_tokens"]), ([], 9))

    def test_mock_obeys(self) -> None:
        """n, max_tokens, stop and tools have their effect, whole and streamed."""
        edge = Edge()
        choices = edge.chat(n=2, max_tokens=2).json()["choices"]
        self.assertEqual([(c["index"], c["finish_reason"]) for c in choices], [(0, "length"), (1, "length")])
        self.assertEqual(choices[0]["message"]["content"], "This is")
        self.assertEqual(edge.chat(stop=["mock"]).json()["choices"][0]["message"]["content"], "This is a")
        tool = {
            "type": "function",
            "function": {"name": "look", "parameters": {"properties": {"q": {}, "n": {"type": "integer"}}}},
        }
        choice = edge.chat(tools=[tool]).json()["choices"][0]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        call = choice["message"]["tool_calls"][0]["function"]
        self.assertEqual((call["name"], json.loads(call["arguments"])), ("look", {"q": "mock", "n": 1}))
        pieces = [json.loads(e)["choices"][0] for e in edge.chat(tools=[tool], stream=True).events()[:-1]]
        arguments = "".join(
            p["delta"]["tool_calls"][0]["function"]["arguments"] for p in pieces if "tool_calls" in p["delta"]
        )
        self.assertEqual(arguments, call["arguments"])
        self.assertEqual(edge.chat(tools=[tool], tool_choice="none").json()["choices"][0]["finish_reason"], "stop")

    def test_legacy_completions(self) -> None:
        edge = Edge()
        body = {"model": "m", "prompt": "one two"}
        answer = edge.ask(path="/v1/completions", body=body).json()
        self.assertEqual(
            (answer["object"], answer["choices"][0]["text"]), ("text_completion", "This is a mock answer to: one two")
        )
        events = edge.ask(path="/v1/completions", body=body | {"stream": True}).events()
        self.assertEqual(
            "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]), answer["choices"][0]["text"]
        )

    def test_what_it_cost(self) -> None:
        """Whole answers say it, in digits, where a price is known; errors and streams do not."""
        edge = Edge(
            '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
            '[prices."m/cheap"]\ninput = 0.01\noutput = 0.03\n[prices."m/free"]\ninput = 0\noutput = 0\n'
        )
        self.assertEqual(edge.chat(model="cheap").headers["x-llmedge-cost-usd"], "0.0000003")
        self.assertEqual(edge.chat(model="free").headers["x-llmedge-cost-usd"], "0")
        self.assertNotIn("x-llmedge-cost-usd", edge.chat(model="other").headers)
        self.assertNotIn("x-llmedge-cost-usd", edge.chat(model="cheap", stream=True).headers)
        streamed = edge.records[-1].accounting.cost
        self.assertEqual(streamed, edge.records[0].accounting.cost)

    def test_deterministic(self) -> None:
        self.assertEqual(Edge().chat().body, Edge().chat().body)

    def test_keep_alive_and_pipelining(self) -> None:
        """Several requests on a connection, also sent at once, are answered in order."""
        wire = Edge().wire()
        wire.send(request(body=CHAT) + request("GET", "/health") + request(body=CHAT))
        statuses = [wire.response().body[:9] for _ in range(3)]
        self.assertEqual(statuses, [b'{"id":"ch', b'{"status"', b'{"id":"ch'])


class Models(SynchronousTestCase):
    TOML = (
        KEYS
        + '[providers.p]\ndialect = "mock"\n[models."gpt-4"]\ntargets = ["p/x"]\n[models.other]\ntargets = ["p/y"]\n'
    )

    def test_list_and_get(self) -> None:
        edge = Edge(self.TOML)
        a, b = {"x-api-key": "key-a"}, {"x-api-key": "key-b"}
        names = [m["id"] for m in edge.ask("GET", "/v1/models", headers=a).json()["data"]]
        self.assertEqual(names, ["gpt-4", "other"])
        self.assertEqual([m["id"] for m in edge.ask("GET", "/v1/models", headers=b).json()["data"]], ["gpt-4"])
        self.assertEqual(edge.ask("GET", "/v1/models/p/z", headers=a).json()["owned_by"], "p")
        self.assertEqual(edge.ask("GET", "/v1/models/nope", headers=a).status, 404)
        self.assertEqual(edge.ask("GET", "/v1/models/other", headers=b).status, 404)

    def test_unknown_model(self) -> None:
        edge = Edge(self.TOML)
        response = edge.ask(body=CHAT | {"model": "nope"}, headers={"x-api-key": "key-a"})
        self.assertEqual(
            (response.status, response.error["code"], response.error["param"]), (404, "NOT_FOUND", "model")
        )

    def test_forbidden_model(self) -> None:
        edge = Edge(self.TOML)
        response = edge.ask(body=CHAT | {"model": "other"}, headers={"x-api-key": "key-b"})
        self.assertEqual((response.status, response.error["code"]), (403, "PERMISSION_ERROR"))


class Errors(SynchronousTestCase):
    def check(self, response: Any, status: int, code: str, **headers: str) -> None:
        self.assertEqual((response.status, response.error["code"]), (status, code))
        self.assertEqual(set(response.error), {"code", "message", "details", "type", "param"})
        self.assertIn("x-request-id", response.headers)
        for name, value in headers.items():
            self.assertEqual(response.headers[name], value)

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

    def test_encoded_paths(self) -> None:
        """One path, one meaning: an encoded path is counted and limited like the plain one."""
        edge = Edge()
        response = edge.ask(path="/v1/chat/%63ompletions", body=CHAT)
        self.assertEqual(response.status, 200)
        self.assertEqual((edge.records[0].operation, edge.records[0].route), ("chat", "/v1/chat/completions"))
        for path, status in (("/%ff", 400), ("/v1/models/%ff", 400), ("/%2563", 404), ("/caf%c3%a9", 404), ("*", 404)):
            self.check(edge.ask("GET", path), status, "VALIDATION_ERROR" if status == 400 else "NOT_FOUND")
        self.assertEqual(edge.ask("GET", "/v1/models/mock%2Fx").json()["id"], "mock/x")

    def test_a_method_in_lower_case(self) -> None:
        """Is another method, also where the path is worked out by Klein."""
        edge = Edge()
        self.check(edge.ask("post", body=CHAT), 405, "METHOD_NOT_ALLOWED", allow="GET, HEAD, POST")
        self.check(edge.ask("Get", "/v1/models/mock-model"), 405, "METHOD_NOT_ALLOWED", allow="GET, HEAD, POST")
        self.check(edge.ask("post", "/nothing", body=CHAT), 404, "NOT_FOUND")

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

    def test_a_client_that_leaves_pipelined_bytes(self) -> None:
        """Bytes behind a request under way never hide that its client is gone; too many of them end it."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n')
        wire = edge.wire()
        wire.send(request(body=CHAT) + b"x" * 30000)
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(b"x" * 60000)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(edge.records[0].outcome, "client_closed")

    def test_too_many_requests_at_once(self) -> None:
        """Excess is a quick 503 with a delay; a place that is left is free again."""
        edge = Edge('[server]\nmax_requests = 2\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n')
        wires = [edge.wire() for _ in range(2)]
        for wire in wires:
            wire.send(request(body=CHAT))
        refused = edge.chat()
        self.check(refused, 503, "UNAVAILABLE", **{"retry-after": "1"})
        self.assertEqual(edge.ask("GET", "/health").status, 200)
        wires[0].leave()
        self.assertEqual(edge.ask("GET", "/v1/models").status, 200)
        each = Edge(
            '[server]\nmax_requests_per_address = 1\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 9\n'
        )
        each.wire().send(request(body=CHAT))
        self.check(each.chat(), 503, "UNAVAILABLE")
        self.assertEqual(each.ask("GET", "/v1/models", peer="127.0.0.2").status, 200)

    def test_mock_bounds_what_it_says(self) -> None:
        """Neither a strange tool nor a huge n breaks the mock."""
        edge = Edge("[rate_limit]\nenabled = false\n")
        self.check(edge.chat(n=1_500_000), 400, "VALIDATION_ERROR")
        for function in (
            "x",
            {"parameters": "x"},
            {"parameters": {"properties": [1]}},
            {"parameters": {"properties": {"a": {"enum": {"q": 1}}}}},
        ):
            self.assertEqual(edge.chat(tools=[{"function": function}]).status, 200, function)

    def test_content_type_may_have_parameters(self) -> None:
        response = Edge().ask(body=CHAT, content_type="Application/JSON; charset=utf-8")
        self.assertEqual(response.status, 200)

    def test_long_model_name(self) -> None:
        response = Edge().chat(model="x" * 257)
        self.assertEqual((response.status, response.error["param"]), (400, "model"))

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

    def test_a_client_that_does_not_stop_pushing(self) -> None:
        edge = Edge("[server]\nmax_request_size = 1000\n")
        wire = edge.wire()
        wire.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n")
        for _ in range(40):
            if not wire.transport.gone:
                wire.send(b"x" * 65536)
        self.assertTrue(wire.transport.aborted)

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

    def test_not_http(self) -> None:
        """Garbage is a JSON 400 and the end of the connection."""
        wire = Edge().wire()
        wire.send(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (400, "VALIDATION_ERROR"))
        self.assertTrue(wire.transport.gone)

    def test_a_slow_client(self) -> None:
        """A request that does not arrive is a 408; an idle connection just closes."""
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        for first in (head, head + b"content-length: 10\r\n\r\n{", b"GET /heal"):
            edge = Edge("[server]\nidle_timeout = 5\nheader_timeout = 7\n")
            slow, silent, used = edge.wire(), edge.wire(), edge.wire()
            slow.send(first)
            used.send(request("GET", "/health"))
            used.response()
            edge.reactor.advance(6)
            self.assertEqual((used.received(), used.transport.gone), (b"", True))
            edge.reactor.advance(2)
            response = slow.response()
            self.assertEqual((response.status, response.error["code"]), (408, "REQUEST_TIMEOUT"))
            self.assertTrue(slow.transport.gone)
            self.assertEqual((silent.received(), silent.transport.gone), (b"", True))

    def test_a_client_that_drips(self) -> None:
        """One byte every few seconds keeps nothing open: head and body have limits of their own."""
        edge = Edge("[server]\nidle_timeout = 5\nheader_timeout = 10\nbody_timeout = 20\n")
        body = request(body=CHAT)
        head, _, rest = body.partition(b"\r\n\r\n")
        for prefix, drops, limit in ((b"", head, 10), (head + b"\r\n\r\n", rest, 20)):
            wire = edge.wire()
            wire.send(prefix)
            seconds = 0
            while not wire.transport.gone and seconds < 60:
                wire.send(drops[seconds // 2 : seconds // 2 + 1] if seconds % 2 == 0 else b"")
                edge.reactor.advance(1)
                seconds += 1
            self.assertEqual(wire.response().status, 408)
            self.assertIn(seconds, range(limit, limit + 4))
        self.assertEqual(edge.reactor.pending(), [])

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

    def test_expect_continue(self) -> None:
        """A body that would be refused is refused before it is sent; another one is asked for."""
        edge = Edge("[server]\nmax_request_size = 1000\n")
        for length, first in ((2000, b"HTTP/1.1 413"), (500, b"HTTP/1.1 100 Continue")):
            wire = edge.wire()
            wire.send(request("POST", headers={"expect": "100-continue", "content-length": str(length)}))
            edge.reactor.advance(0)
            self.assertTrue(wire.received().startswith(first))

    def test_too_many_connections(self) -> None:
        """All together, and from one address; a connection that ends makes room."""
        edge = Edge("[server]\nmax_connections = 3\nmax_connections_per_address = 2\n")
        first, second, third = (edge.wire() for _ in range(3))
        self.assertEqual([w.transport.aborted for w in (first, second, third)], [False, False, True])
        self.assertFalse(edge.wire("127.0.0.2").transport.aborted)
        self.assertTrue(edge.wire("127.0.0.3").transport.aborted)
        first.leave()
        self.assertFalse(edge.wire().transport.aborted)

    def test_a_defect_says_nothing(self) -> None:
        """A failure of ours is a 500 in our shape, without a word of what failed; the log has it."""
        edge = Edge()
        edge.service.graph.pipeline.models.names = None
        response = edge.ask("GET", "/v1/models")
        self.check(response, 500, "INTERNAL_ERROR")
        self.assertNotIn("NoneType", response.body.decode())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_request_ids(self) -> None:
        """A sane id is kept, anything else replaced."""
        edge = Edge()
        good = edge.ask("GET", "/health", headers={"x-request-id": "abc-1.2:3_X"})
        self.assertEqual(good.headers["x-request-id"], "abc-1.2:3_X")
        for bad in ("", "a b", "x" * 129, '"><script>'):
            given = edge.ask("GET", "/health", headers={"x-request-id": bad}).headers["x-request-id"]
            self.assertRegex(given, r"^req_[0-9a-f]{24}$")

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


class Authentication(SynchronousTestCase):
    def test_keys(self) -> None:
        """Either header, plain or hashed; the caller's name is on record, the key nowhere."""
        edge = Edge(KEYS)
        for headers, status in (
            ({"authorization": "Bearer key-a"}, 200),
            ({"authorization": "bearer  key-a "}, 200),
            ({"x-api-key": "key-a"}, 200),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "Basic a2V5LWE="}, 401),
            ({"authorization": "Bearer "}, 401),
            ({"x-api-key": "wrong"}, 401),
            ({}, 401),
        ):
            response = edge.ask("GET", "/v1/models", headers=headers)
            self.assertEqual(response.status, status, headers)
            if status == 401:
                self.assertEqual(
                    (response.error["code"], response.error["type"]), ("AUTH_ERROR", "authentication_error")
                )
                self.assertIn("Bearer", response.headers["www-authenticate"])
                self.assertNotIn("wrong", response.body.decode())
        wrong = edge.ask("GET", "/v1/models", headers={"x-api-key": "wrong"})
        self.assertEqual(wrong.error["message"], "Invalid API key")
        self.assertEqual([record.caller for record in edge.records[:4]], ["a", "a", "a", ""])
        self.assertNotIn("key-a", repr(edge.records))

    def test_refused_before_anything_else(self) -> None:
        """Without a key nobody learns which paths exist."""
        self.assertEqual(Edge(KEYS).ask("GET", "/v1/nope").status, 401)

    def test_health_and_metrics_are_open_unless_locked(self) -> None:
        """Each can be locked, by its own setting."""
        edge = Edge(KEYS)
        self.assertEqual([edge.ask("GET", p).status for p in ("/health", "/health/ready", "/metrics")], [200, 200, 200])
        locked = Edge(KEYS, {"AUTH_HEALTH_CHECK": "true", "AUTH_METRICS": "true"})
        self.assertEqual([locked.ask("GET", p).status for p in ("/health", "/health/ready", "/metrics")], [401] * 3)
        self.assertEqual(locked.ask("GET", "/metrics", headers={"x-api-key": "key-a"}).status, 200)

    def test_no_keys_means_this_machine_only(self) -> None:
        """Never an open proxy: no remote peer, no forwarded request, no foreign name (DNS rebinding)."""
        edge = Edge()
        ask = lambda **kw: edge.ask("GET", "/v1/models", **kw)  # noqa: E731
        self.assertEqual([ask(peer=p).status for p in ("127.0.0.1", "::1", "::ffff:127.0.0.1")], [200] * 3)
        for peer in ("10.0.0.1", "192.168.1.1", "8.8.8.8", "fe80::1"):
            response = ask(peer=peer)
            self.assertEqual(response.status, 401)
            self.assertIn("API_KEYS", response.error["message"])
        for name in ("x-forwarded-for", "forwarded", "via", "x-real-ip"):
            self.assertEqual(ask(headers={name: "127.0.0.1"}).status, 401, name)
        self.assertEqual(ask(headers={"host": "evil.example"}).status, 401)
        self.assertEqual(
            [ask(headers={"host": h}).status for h in ("localhost", "127.0.0.1:8080", "[::1]:8080")], [200] * 3
        )

    def test_without_a_key_no_body_is_read(self) -> None:
        """The head is enough for a 401; whatever follows is not kept."""
        edge = Edge(KEYS)
        for extra in ({}, {"expect": "100-continue"}):
            wire = edge.wire()
            wire.send(request("POST", headers={"content-length": "9000000"} | extra))
            edge.reactor.advance(0)
            response = wire.response()
            self.assertEqual((response.status, response.headers["connection"]), (401, "close"))
        self.assertEqual([record.error_code for record in edge.records], ["AUTH_ERROR"] * 2)
        small = edge.wire()
        small.send(request(body=CHAT))
        self.assertEqual(small.response().status, 401)

    def test_off(self) -> None:
        edge = Edge("", {"AUTH_ENABLED": "false"})
        self.assertEqual(edge.ask("GET", "/v1/models", peer="8.8.8.8").status, 200)


class Limits(SynchronousTestCase):
    def test_global(self) -> None:
        """burst requests pass, the next is refused with the time to wait, and time heals it."""
        edge = Edge("[rate_limit]\nrpm = 60\nburst = 2\n")
        first = edge.chat()
        self.assertEqual(first.headers["x-ratelimit-limit-requests"], "60")
        self.assertEqual(first.headers["x-ratelimit-remaining-requests"], "1")
        self.assertEqual(first.headers["x-ratelimit-reset-requests"], "1s")
        edge.chat()
        refused = edge.chat()
        self.assertEqual(
            (refused.status, refused.error["code"], refused.error["type"]),
            (429, "RATE_LIMIT_ERROR", "rate_limit_error"),
        )
        self.assertEqual(
            (refused.headers["retry-after"], refused.headers["x-ratelimit-remaining-requests"]), ("1", "0")
        )
        edge.reactor.advance(1)
        self.assertEqual(edge.chat().status, 200)

    def test_per_key(self) -> None:
        """A key's own limit does not touch the others, and refused work is given back."""
        toml = '[rate_limit]\nrpm = 60\nburst = 5\n[[auth.keys]]\nname = "a"\nkey = "ka"\nrpm = 60\nburst = 1\n'
        edge = Edge(toml + '[[auth.keys]]\nname = "b"\nkey = "kb"\n')
        a, b = {"x-api-key": "ka"}, {"x-api-key": "kb"}
        statuses = [edge.ask("GET", "/v1/models", headers=a).status for _ in range(6)]
        self.assertEqual(statuses, [200] + [429] * 5)
        self.assertEqual([edge.ask("GET", "/v1/models", headers=b).status for _ in range(5)], [200] * 4 + [429])
        refused = edge.ask("GET", "/v1/models", headers=b)
        self.assertIn("gateway", refused.error["message"])

    def test_every_answer_shows_the_limit(self) -> None:
        """Also those that never got as far."""
        edge = Edge(KEYS)
        for response in (edge.chat(), edge.ask("GET", "/v1/nope"), edge.ask("GET", "/health", headers={"host": ".."})):
            self.assertIn(response.status, (400, 401))
            self.assertEqual(response.headers["x-ratelimit-limit-requests"], "1000")

    def test_health_is_not_limited(self) -> None:
        """Probes pass, and carry the headers as every answer does."""
        edge = Edge("[rate_limit]\nrpm = 60\nburst = 1\n")
        edge.chat()
        for _ in range(5):
            response = edge.ask("GET", "/health")
            self.assertEqual((response.status, response.headers["x-ratelimit-remaining-requests"]), (200, "0"))

    def test_off(self) -> None:
        edge = Edge("[rate_limit]\nenabled = false\nburst = 1\n")
        self.assertEqual([edge.chat().status for _ in range(5)], [200] * 5)
        self.assertNotIn("x-ratelimit-limit-requests", edge.chat().headers)


class Cross(SynchronousTestCase):
    TOML = KEYS + '[cors]\norigins = ["https://app.example"]\n'

    def preflight(self, edge: Edge, origin: str, headers: str = "authorization, content-type, x-stainless-os") -> Any:
        asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": headers}
        return edge.ask("OPTIONS", "/v1/chat/completions", headers=asked)

    def test_preflight_needs_no_key(self) -> None:
        response = self.preflight(Edge(self.TOML), "https://app.example")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.headers["access-control-allow-origin"], "https://app.example")
        self.assertEqual(
            response.headers["access-control-allow-headers"], "authorization, content-type, x-stainless-os"
        )
        self.assertIn("Origin", response.headers["vary"])

    def test_others_are_refused(self) -> None:
        edge = Edge(self.TOML)
        self.assertEqual(self.preflight(edge, "https://evil.example").status, 403)
        self.assertEqual(self.preflight(edge, "https://app.example", "x-evil").status, 403)
        plain = edge.ask("GET", "/v1/models", headers={"origin": "https://evil.example", "x-api-key": "key-a"})
        self.assertNotIn("access-control-allow-origin", plain.headers)

    def test_answers_and_errors_carry_the_header(self) -> None:
        """A page must be able to read its errors as well."""
        edge = Edge(self.TOML)
        response = edge.ask("GET", "/v1/models", headers={"origin": "https://app.example"})
        self.assertEqual(
            (response.status, response.headers["access-control-allow-origin"]), (401, "https://app.example")
        )
        for name in ("x-request-id", "x-llmedge-cost-usd"):
            self.assertIn(name, response.headers["access-control-expose-headers"])

    def test_credentials(self) -> None:
        """Only where it is asked for, and never with any origin."""
        edge = Edge(self.TOML + "credentials = true\nmax_age = 7\n")
        response = self.preflight(edge, "https://app.example")
        self.assertEqual(response.headers["access-control-allow-credentials"], "true")
        self.assertEqual(response.headers["access-control-max-age"], "7")
        self.assertNotIn(
            "access-control-allow-credentials", self.preflight(Edge(self.TOML), "https://app.example").headers
        )
        with self.assertRaises(ConfigError):
            Edge('[cors]\norigins = ["*"]\ncredentials = true\n')

    def test_off_by_default(self) -> None:
        response = Edge().ask("GET", "/v1/models", headers={"origin": "https://app.example"})
        self.assertNotIn("access-control-allow-origin", response.headers)


class Gzip(SynchronousTestCase):
    LONG = {"messages": [{"role": "user", "content": "word " * 1000}]}
    ACCEPT = {"accept-encoding": "gzip, deflate"}

    def test_long_answers(self) -> None:
        edge = Edge()
        plain = edge.ask(body=CHAT | self.LONG)
        packed = edge.ask(body=CHAT | self.LONG, headers=self.ACCEPT)
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertIn("Accept-Encoding", packed.headers["vary"])
        self.assertIn("Accept-Encoding", plain.headers["vary"])
        self.assertTrue(packed.complete)
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertNotIn("content-encoding", plain.headers)

    def test_short_answers_and_refusals(self) -> None:
        """Tiny bodies are not worth it, and q=0 means no."""
        edge = Edge()
        self.assertNotIn("content-encoding", edge.ask("GET", "/health", headers=self.ACCEPT).headers)
        for accept, packed in (
            ("gzip;q=0", False),
            ("*", True),
            ("*;q=0", False),
            ("gzip;q=0, *", True),
        ):
            response = edge.ask(body=CHAT | self.LONG, headers={"accept-encoding": accept})
            self.assertEqual("content-encoding" in response.headers, packed, accept)

    def test_what_the_client_prefers(self) -> None:
        """The coding with the most weight; among equals zstd, br, gzip."""
        import brotli
        import zstandard

        edge = Edge()
        plain = edge.ask(body=CHAT | self.LONG).body
        unpack = {
            "gzip": gzip.decompress,
            "br": brotli.decompress,
            "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        }
        for accept, coding in (
            ("gzip, br, zstd", "zstd"),
            ("gzip, br", "br"),
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("zstd;q=0, *", "br"),
        ):
            response = edge.ask(body=CHAT | self.LONG, headers={"accept-encoding": accept})
            self.assertEqual(response.headers["content-encoding"], coding, accept)
            self.assertEqual(unpack[coding](response.body), plain)

    def test_streams_are_never_held_back(self) -> None:
        """Each event is readable the moment the vendor gave it, whatever the client accepts."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nchunk_interval = 1\n')
        wire = edge.wire()
        wire.send(request(body=CHAT | {"stream": True}, headers=self.ACCEPT))
        edge.reactor.advance(1)
        self.assertIn(b'"content":"This"', wire.received())
        self.assertNotIn(b"content-encoding", wire.received().lower())
        edge.reactor.advance(1)
        self.assertIn(b'"content":" is"', wire.received())
        self.assertNotIn(b'"content":" a"', wire.received())
        wire.leave()


class Peers(SynchronousTestCase):
    def test_forwarded_for(self) -> None:
        """Counted from the right, as far as the proxies are ours; what a client writes itself is never believed."""
        edge = Edge(KEYS + '[server]\ntrusted_proxies = ["10.0.0.0/8", "127.0.0.1"]\n')
        for peer, forwarded, expected in (
            ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
            ("127.0.0.1", "1.2.3.4:5555", "1.2.3.4"),
            ("127.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("127.0.0.1", "unknown", "127.0.0.1"),
            ("127.0.0.1", "1.2.3.4, junk", "127.0.0.1"),
            ("127.0.0.1", "10.1.1.1", "10.1.1.1"),
            ("127.0.0.1", "", "127.0.0.1"),
        ):
            headers = {"x-api-key": "key-a", "x-forwarded-for": forwarded}
            self.assertEqual(edge.ask("GET", "/v1/models", peer=peer, headers=headers).status, 200)
            self.assertEqual(edge.records[-1].peer, expected, (peer, forwarded))

    def test_nobody_is_trusted_by_default(self) -> None:
        edge = Edge(KEYS)
        edge.ask("GET", "/v1/models", headers={"x-api-key": "key-a", "x-forwarded-for": "1.2.3.4"})
        self.assertEqual(edge.records[-1].peer, "127.0.0.1")

    def test_large_bodies(self) -> None:
        """They are parsed by a thread, with the same result and the same errors."""
        edge = Edge()
        content = [{"role": "user", "content": "word " * 100000}]
        self.assertEqual(edge.chat(messages=content).status, 200)
        self.assertEqual(edge.chat(messages=content, temperature="hot").error["param"], "temperature")
        deep = b'{"model":"m","messages":[],"x":' + b"[" * 200 + b"]" * 200 + b"}"
        self.assertIn("nested more than 100 deep", edge.ask(body=deep).error["message"])
