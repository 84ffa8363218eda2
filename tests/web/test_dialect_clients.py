"""What each dialect's clients see of the gateway: keys, errors, lists of models, wishes, what became of a call."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.record import DROPPED
from tests.fakes import CHAT, Edge, request

KEYED = '[[auth.keys]]\nname = "a"\nkey = "the-key"\n'
MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
CLAUDE = {"model": "c", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/g:generateContent"


class Keys(SynchronousTestCase):
    def test_where_each_sdk_puts_them(self) -> None:
        edge = Edge(KEYED + MOCK)
        for path, body, headers in (
            ("/v1/chat/completions", CHAT, {"authorization": "Bearer the-key"}),
            ("/v1/messages", CLAUDE, {"x-api-key": "the-key"}),
            ("/v1/messages", CLAUDE, {"authorization": "Bearer the-key"}),
            (GENERATE, GEMINI, {"x-goog-api-key": "the-key"}),
            (f"{GENERATE}?key=the-key", GEMINI, {}),
            (f"{GENERATE}?alt=json&key=the%2Dkey", GEMINI, {}),
            ("/v1/m/x:generateContent?key=the-key", GEMINI, {}),
        ):
            self.assertEqual(edge.ask(path=path, body=body, headers=headers).status, 200, path)
            self.assertEqual(edge.records[-1].caller, "a")
            self.assertNotIn("the-key", repr(edge.records[-1]))

    def test_a_key_in_the_url_is_googles_way_only(self) -> None:
        edge = Edge(KEYED + MOCK)
        for more in ("?key=the-key", "?key=the-key&x=/v1beta/"):
            self.assertEqual(edge.ask(path=f"/v1/chat/completions{more}", body=CHAT).status, 401)
        for wrong in ("?key=", "?key=wrong", "?xkey=the-key", ""):
            self.assertEqual(edge.ask(path=GENERATE + wrong, body=GEMINI).status, 401, wrong)


class Errors(SynchronousTestCase):
    def test_in_the_askers_dialect(self) -> None:
        """Also before anybody has looked at the body; our code is inside."""
        edge = Edge(KEYED + MOCK)
        openai = edge.ask(body=CHAT)
        self.assertEqual((openai.status, openai.error["code"]), (401, "AUTH_ERROR"))
        claude = edge.ask(path="/v1/messages", body=CLAUDE)
        self.assertEqual((claude.status, claude.json()["type"]), (401, "error"))
        self.assertEqual(claude.error["type"], "authentication_error")
        self.assertEqual(claude.error["code"], "AUTH_ERROR")
        gemini = edge.ask(path=GENERATE, body=GEMINI)
        self.assertEqual((gemini.status, gemini.error["code"], gemini.error["status"]), (401, 401, "UNAUTHENTICATED"))
        self.assertEqual(gemini.error["details"][0]["reason"], "AUTH_ERROR")

    def test_of_the_body(self) -> None:
        edge = Edge(MOCK)
        for path, body, param in (
            ("/v1/messages", {"model": "c", "messages": []}, "max_tokens"),
            ("/v1/responses", {"model": "r", "input": 5}, "input"),
            ("/v1/embeddings", {"model": "e"}, "input"),
            (GENERATE, {"contents": 5}, "contents"),
            ("/v1beta/models/g:streamGenerateContent", GEMINI, "alt"),
        ):
            response = edge.ask(path=path, body=body)
            self.assertEqual(response.status, 400, path)
            self.assertIn(param.encode(), response.body)

    def test_no_such_method(self) -> None:
        edge = Edge(MOCK)
        self.assertEqual(edge.ask(path="/v1beta/models/g:predictLongRunning", body=GEMINI).status, 404)


class Dropped(SynchronousTestCase):
    BODY = CLAUDE | {"top_k": 5}

    def test_refused_or_reported(self) -> None:
        """What the vendor cannot be told is named, or left out, as the configuration has it."""
        for more, status in (('on_unsupported = "refuse"\n', 400), ("", 502), ('on_unsupported = "drop"\n', 502)):
            edge = Edge(f'[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n{more}[models.c]\ntargets = ["p/x"]\n')
            wire = edge.wire()
            wire.send(request(path="/v1/messages", body=self.BODY))
            edge.reactor.advance(0)
            if status == 400:
                response = wire.response()
                self.assertEqual(response.status, 400)
                self.assertEqual(response.error["param"], "top_k")
                self.assertIn("on_unsupported", response.error["message"])
            else:
                self.assertEqual(wire.received(), b"")  # it is being asked
                wire.leave()
                self.assertEqual(edge.records[-1].facts[DROPPED], ["top_k"])


class Models(SynchronousTestCase):
    def test_lists(self) -> None:
        edge = Edge(MOCK + '[models.one]\ntargets = ["m/x"]\n')
        self.assertEqual(edge.ask("GET", "/v1/models").json()["data"][0]["object"], "model")
        claude = edge.ask("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
        self.assertEqual((claude["data"][0]["type"], claude["first_id"], claude["has_more"]), ("model", "one", False))
        self.assertEqual(edge.ask("GET", "/v1beta/models").json()["models"][0]["name"], "models/one")
        self.assertEqual(edge.ask("GET", "/v1beta/models/one").json()["name"], "models/one")


class Wishes(SynchronousTestCase):
    TWO = (
        '[providers.bad]\ndialect = "mock"\nfault = "status"\n[providers.good]\ndialect = "mock"\n'
        '[models.m]\ntargets = ["bad/x"]\nfallbacks = ["n"]\n[models.n]\ntargets = ["good/y"]\n'
    )

    def test_what_became_of_a_call(self) -> None:
        response = Edge(self.TWO).chat(model="m")
        shown = {name: response.headers[f"x-llmedge-{name}"] for name in ("provider", "model", "attempts", "fallback")}
        self.assertEqual(shown, {"provider": "good", "model": "y", "attempts": "2", "fallback": "n"})
        self.assertRegex(response.headers["x-llmedge-overhead-ms"], r"^\d+\.\d{3}$")

    def test_no_fallback(self) -> None:
        response = Edge(self.TWO).ask(body=CHAT | {"model": "m"}, headers={"x-llmedge-no-fallback": "true"})
        self.assertEqual(response.status, 503)

    def test_retries(self) -> None:
        """A client may ask for fewer, not for more."""
        routing = "[routing]\nretries = 1\n"
        edge = Edge(self.TWO + routing)
        headers = {"x-llmedge-retries": "0", "x-llmedge-no-fallback": "1"}
        self.assertEqual(edge.ask(body=CHAT | {"model": "m"}, headers=headers).status, 503)
        self.assertEqual(len(edge.records[-1].routing.attempts), 1)
        wire = edge.wire()
        wire.send(request(body=CHAT | {"model": "m"}, headers=headers | {"x-llmedge-retries": "9"}))
        edge.reactor.pump([0.1] * 50)
        self.assertEqual(wire.response().status, 503)
        self.assertEqual([attempt.kind for attempt in edge.records[-1].routing.attempts], ["first", "retry"])

    def test_timeout(self) -> None:
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 5\n')
        wire = edge.wire()
        wire.send(request(body=CHAT, headers={"x-llmedge-timeout": "2"}))
        edge.reactor.advance(2.1)
        self.assertEqual(wire.response().status, 504)

    def test_nonsense(self) -> None:
        edge = Edge(MOCK)
        for name, value in (("timeout", "soon"), ("timeout", "0"), ("retries", "-1"), ("no-fallback", "maybe")):
            response = edge.ask(body=CHAT, headers={f"x-llmedge-{name}": value})
            self.assertEqual((response.status, response.error["param"]), (400, f"x-llmedge-{name}"))
