"""Who may ask: keys, and this machine where there are none."""

from pathlib import Path

from OpenSSL.crypto import FILETYPE_PEM, load_certificate
from twisted.trial.unittest import SynchronousTestCase

from llmedge.tls import certificate_names
from llmedge.web import request as request_module
from tests.e2e.certificates import Authority
from tests.fakes import CHAT, Edge, request
from tests.web.common import KEYS
from tests.web.test_http2 import Http2


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

    def test_two_keys_in_one_place(self) -> None:
        """Which of them counts is not for us to choose, as whoever is in front may have chosen the other: 400, with or
        without a body, whatever they are, over HTTP/2 as well."""
        edge = Edge(KEYS)
        for name in ("Authorization", "x-api-key", "X-Goog-Api-Key", "api-key"):
            for keys in (("key-a", "wrong"), ("wrong", "key-a"), ("key-a", "key-b"), ("key-a", "key-a")):
                scheme = "Bearer " if name == "Authorization" else ""
                for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
                    twice = "\r\n".join(f"{name}: {scheme}{key}" for key in keys)
                    wire = edge.wire()
                    head = f"{method} {path} HTTP/1.1\r\nhost: a\r\n{twice}\r\ncontent-length: 2\r\n\r\n"
                    wire.send(head.encode() + b"{}")
                    response = wire.response()
                    self.assertEqual(response.status, 400, (name, keys))
                    self.assertIn("is there twice", response.error["message"])
                    self.assertNotIn(b"key-", response.body)
        client = Http2(edge)
        stream = client.ask(path="/v1/models", method="GET", more=[("authorization", "Bearer key-a")] * 2)
        self.assertEqual(client.status(stream), 400)

    def test_subprotocols(self) -> None:
        """A key in a subprotocol is one where browsers can put no other: in a WebSocket's handshake."""
        edge = Edge(KEYS)
        offered = {"sec-websocket-protocol": "openai-insecure-api-key.key-a"}
        self.assertEqual(edge.ask("GET", "/v1/models", headers=offered).status, 401)
        self.assertEqual(edge.ask(body=CHAT, headers=offered).status, 401)

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

    def test_http_1_0_counts_as_forwarded(self) -> None:
        """A proxy that says so in no header speaks it by default; with a key it is as good as any other version."""
        for parser in ("llhttp", "twisted"):
            self.patch(Edge, "http_parser", parser)
            for key, statuses in (("", [401, 401]), (KEYS, [200, 200])):
                edge, seen = Edge(key), []
                for method, body in (("GET", None), ("POST", CHAT)):
                    path = "/v1/models" if body is None else "/v1/chat/completions"
                    asked = request(method, path, body, {"x-api-key": "key-a"}).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
                    wire = edge.wire()
                    wire.send(asked)
                    seen.append(wire.response())
                self.assertEqual([response.status for response in seen], statuses, parser)
                self.assertEqual(["HTTP/1.0" in str(response.body) for response in seen], [not key] * 2)

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

    def test_certificates(self) -> None:
        """What a connection shows is read once; a certificate that has expired meanwhile is none any more."""
        edge = Edge(
            '[tls]\nclient_ca = "ca"\nclient_auth = "optional"\n[[auth.spiffe]]\nid = "spiffe://example.org/*"\n'
        )
        certificate, _ = Authority().issue("workload", "api", "uri:spiffe://example.org/api", client=True)
        shown = load_certificate(FILETYPE_PEM, Path(certificate).read_bytes())
        expires = shown.to_cryptography().not_valid_after_utc.timestamp()
        read: list[object] = []
        self.patch(request_module, "certificate_names", lambda given: read.append(given) or certificate_names(given))
        edge.reactor.advance(expires - 3 - edge.reactor.seconds())
        wire = edge.wire()
        setattr(wire.transport, "getPeerCertificate", lambda: shown)  # noqa: B010 - as a TLS transport has it
        statuses = []
        for _ in range(4):
            edge.reactor.advance(1)
            wire.send(request("GET", "/v1/models"))
            statuses.append(wire.response().status)
        self.assertEqual(statuses, [200, 200, 401, 401])
        self.assertEqual(len(read), 1)

    def test_off(self) -> None:
        """Anybody may ask, from anywhere."""
        edge = Edge("", {"AUTH_ENABLED": "false"})
        self.assertEqual(edge.ask("GET", "/v1/models", peer="8.8.8.8").status, 200)
