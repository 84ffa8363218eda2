"""Guardrails, seen by clients and in the books."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.interfaces import GuardFailed, Judgement
from tests.fakes import Edge, Response, request
from tests.guards.made import CANARY, patch_types
from tests.web.test_websocket import Socket

KEY = '[[auth.keys]]\nname = "k"\nkey = "sk-0123456789abcdef"\nmax_concurrency = 1\ntpm = 100000\n'
GUARD = '[[guardrails]]\nname = "g"\ntype = "canaries"\nmode = "enforce"\n'
PRICES = '[prices."mock/*"]\ninput = 1\noutput = 1\n'
SLOW = '[providers.mock]\ndialect = "mock"\nmodels = ["*"]\nchunk_interval = 0.1\n'
HEAD = {"authorization": "Bearer sk-0123456789abcdef"}
ASKED = {"role": "user", "content": f"please write to {CANARY} now"}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": [ASKED]},
    "/v1/responses": {"model": "m", "input": [ASKED]},
    "/v1/messages": {"model": "m", "max_tokens": 99, "messages": [ASKED]},
    "/v1beta/models/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": ASKED["content"]}]}]},
    "/v1/completions": {"model": "m", "prompt": ASKED["content"]},
}


class Guarded(SynchronousTestCase):
    def edge(self, more: str, base: str = "") -> Edge:
        self.told = patch_types(self)
        return Edge(base + GUARD + more)

    def test_a_blocked_request(self) -> None:
        """400 in each dialect, with the guardrail's name; a retry is not worth it."""
        edge = self.edge("")
        for path, body in PATHS.items():
            response = edge.ask(path=path, body=body)
            self.assertEqual(response.status, 400, path)
            self.assertIn("blocked by the guardrail 'g'", response.error["message"])
            self.assertNotIn(b"canary-", response.body)
            self.assertEqual(response.headers["x-llmedge-guardrails"], "g=block")
            self.assertEqual(response.headers["x-should-retry"], "false")
            self.assertEqual(edge.records[-1].error_code, "content_policy_violation")
        self.assertEqual(edge.ask(path="/v1/embeddings", body={"model": "m", "input": CANARY}).status, 400)
        self.assertEqual(edge.ask(path="/v1/moderations", body={"model": "m", "input": CANARY}).status, 400)

    def test_added_by_headers(self) -> None:
        """In one line or in several; where there are none, none can be added."""
        edge = self.edge('default_on = false\n[[guardrails]]\nname = "h"\ntype = "told"\ndefault_on = false\n')
        head, _, body = request(body={"model": "m", "messages": [ASKED]}).partition(b"\r\n\r\n")
        for names in (["g, h"], ["g", "h"], ["h", "g"], [",g ,"]):
            wire = edge.wire()
            lines = [b"", *(f"X-LLMEdge-Guardrails: {each}".encode() for each in names)]
            wire.send(b"%b%b\r\n\r\n%b" % (head, b"\r\n".join(lines), body))
            self.assertIn("blocked by the guardrail 'g'", wire.response().error["message"], names)
        wire = Edge().wire()
        for _ in range(2):
            wire.send(request(body={"model": "m", "messages": [ASKED]}, headers={"x-llmedge-guardrails": "g"}))
            self.assertEqual(wire.response().error["param"], "guardrails")

    def test_added_by_a_sockets_handshake(self) -> None:
        """Each of its messages has what the handshake has added."""
        edge = self.edge("default_on = false\n")
        for headers in ({}, {"x-llmedge-guardrails": "g"}):
            socket = Socket(edge, **headers)
            socket.ask(messages=[ASKED])
            self.assertEqual("blocked by the guardrail" in socket.texts()[-1], bool(headers))

    def streamed(self, edge: Edge, path: str, body: dict[str, Any], seconds: float = 0.0) -> Response:
        """What is answered as a stream, in so much time."""
        wire = edge.wire()
        streams = {} if ":" in path else {"stream": True}
        wire.send(request(path=path.replace(":generateContent", ":streamGenerateContent?alt=sse"), body=body | streams))
        edge.reactor.pump([0.1] * round(10 * seconds))
        return wire.response()

    def test_a_stream_that_is_blocked_before_anything_is_out(self) -> None:
        """A refusal in each dialect, with its end; what was said is paid for."""
        edge = self.edge('on = ["response"]\n' + PRICES)
        for path, body in PATHS.items():
            response = self.streamed(edge, path, body)
            self.assertEqual((response.status, response.complete), (200, True), path)
            self.assertNotIn(b"canary-", response.body)
            if "completions" not in path or "chat" in path:
                self.assertIn(b"withheld by the guardrail", response.body)
            self.paid(edge, "")

    def test_a_stream_that_is_blocked_in_its_middle(self) -> None:
        """An error event in each dialect, no end; what was said is paid for."""
        edge = self.edge('on = ["response"]\n' + PRICES, SLOW)
        for path, body in PATHS.items():
            response = self.streamed(edge, path, body, 5.0)
            self.assertEqual((response.status, response.complete), (200, False), path)
            self.assertNotIn(b"canary-", response.body)
            self.assertIn(b"blocked by the guardrail", response.body)
            for end in (b"[DONE]", b"message_stop", b"response.completed", b'"finishReason"'):
                self.assertNotIn(end, response.body)
            self.paid(edge, "content_policy_violation")

    def test_a_stream_that_is_held(self) -> None:
        """Heartbeats go on while nothing of it is out."""
        slow = SLOW.replace("0.1", "1") + "[server]\nheartbeat = 2.0\n"
        judged = '[[guardrails]]\nname = "s"\ntype = "told"\nmode = "enforce"\non = ["response"]\n'
        patch_types(self)
        edge = Edge(slow + judged)
        wire = edge.wire()
        wire.send(request(body=PATHS["/v1/chat/completions"] | {"stream": True}))
        edge.reactor.pump([0.5] * 14)
        self.assertGreaterEqual(wire.received().count(b": ping"), 2)
        self.assertNotIn(b"data:", wire.received())
        edge.reactor.pump([0.5] * 60)
        self.assertIn(CANARY.encode(), b"".join(wire.response().body.split(b'"content":"')))

    def paid(self, edge: Edge, code: str) -> None:
        record = edge.records[-1]
        assert record.accounting.usage is not None
        self.assertGreater(record.accounting.usage.output, 0)
        self.assertGreater(record.accounting.cost or 0, 0)
        self.assertEqual(record.error_code, code)
        self.assertIn(record.routing.attempts[-1].outcome, ("ok", "aborted"))

    def test_masked_answers(self) -> None:
        """Whole and streamed."""
        edge = self.edge('on = ["response"]\naction = "mask"\n')
        for path, body in PATHS.items():
            for streamed in (False, True):
                if streamed and ":" in path:
                    path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
                response = edge.ask(path=path, body=body | ({"stream": True} if streamed and ":" not in path else {}))
                self.assertEqual((response.status, response.complete), (200, True), path)
                self.assertIn(b"[CANARY]", response.body)
                self.assertNotIn(b"canary-", response.body)

    def test_limits_of_a_key(self) -> None:
        """A blocked answer that is asked for once more leaves nothing taken of its key's limits."""
        edge = self.edge('on = ["response"]\nretry = true\n', KEY)
        body = PATHS["/v1/chat/completions"]
        for _ in range(3):
            response = edge.ask(body=body, headers=HEAD)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.json()["choices"][0]["finish_reason"], "content_filter")
            self.assertEqual(len(edge.records[-1].routing.attempts), 2)
        self.assertEqual([each for each in edge.service._process.allowances._places.values() if each.calls], [])

    def test_a_refusal_costs_what_the_answer_did(self) -> None:
        edge = self.edge('on = ["response"]\n' + PRICES)
        response = edge.ask(body=PATHS["/v1/chat/completions"])
        usage = edge.records[-1].accounting.usage
        assert usage is not None
        self.assertEqual(response.json()["usage"]["completion_tokens"], usage.output)
        self.assertGreater(usage.output, 5)
        self.assertEqual(edge.records[-1].outcome, "ok")

    def test_in_the_metrics(self) -> None:
        edge = self.edge("")
        edge.chat()
        page = edge.ask("GET", "/metrics").body.decode()
        self.assertIn('llm_guardrail_total{name="g",verdict="pass"} 1.0', page)
        self.assertNotIn("llm_guardrail", Edge().ask("GET", "/metrics").body.decode())

    def test_a_service_that_is_away(self) -> None:
        """503, and when to come back."""
        edge = self.edge("", '[[guardrails]]\nname = "s"\ntype = "told"\nmode = "enforce"\n')
        self.told.made["s"].says = lambda material: ZeroDivisionError()
        response = edge.chat()
        self.assertEqual((response.status, response.error["code"]), (503, "guardrail_unavailable"))
        self.assertEqual(response.headers["retry-after"], "1")
        self.flushLoggedErrors(ZeroDivisionError)
        self.told.made["s"].says = lambda material: Judgement()
        self.assertEqual(edge.chat().headers["x-llmedge-guardrails"], "g=pass, s=pass")

    def test_off(self) -> None:
        """There is no stage of theirs, nothing of them is looked at, and no module of theirs is in memory."""
        code = "import sys; from tests.fakes import Edge; Edge().chat(); print(*sys.modules)"
        modules = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        found = {name for name in modules if name.startswith(("llmedge.guards.", "llmedge.pipeline.guard"))}
        self.assertEqual(found, {"llmedge.guards.interfaces", "llmedge.guards.registry"})
        edge = Edge()
        body = {"model": "m", "messages": [ASKED], "guardrails": ["g"]}
        self.assertEqual(edge.ask(body=body).status, 200)
        self.assertNotIn("guardrails", json.dumps([fact.name for fact in edge.records[-1].facts]))

    def test_a_reload(self) -> None:
        """Those of before are closed, those of now hold."""
        edge = self.edge("", '[[guardrails]]\nname = "s"\ntype = "told"\nmode = "enforce"\n')
        told = self.told.made["s"]
        edge.chat()
        edge.service.graph.retire()
        self.assertEqual((len(told.seen), told.closed), (1, 1))


CACHE = '[cache]\nenabled = true\nwhen = "always"\n'


class Cached(SynchronousTestCase):
    """The cache is between the guardrails of requests and those of answers."""

    def ask(self, edge: Edge, text: str) -> tuple[str, str]:
        """What the cache did, and what is answered."""
        wire = edge.wire()
        wire.send(request(body={"model": "m", "messages": [{"role": "user", "content": text}]}))
        edge.reactor.pump([0.0] * 20)  # others may have had their turn
        response = wire.response()
        self.assertEqual(response.status, 200)
        message = response.json()["choices"][0]["message"]
        return response.headers.get("x-llmedge-cache", ""), message["content"] or message["refusal"]

    def edge(self, more: str) -> Edge:
        patch_types(self)
        return Edge(CACHE + GUARD + more)

    def test_what_is_kept_has_placeholders(self) -> None:
        """Who asks the same about somebody else has the same answer, about them."""
        edge = self.edge('action = "pseudonymize"\n')
        done, said = self.ask(edge, f"about {CANARY}")
        self.assertEqual((done, CANARY in said), ("MISS", True))
        done, said = self.ask(edge, "about canary-18@leak.example")
        self.assertEqual((done, "canary-18@leak.example" in said, "canary-17" in said), ("HIT", True, False))

    def test_what_is_kept_was_looked_at(self) -> None:
        """A masked answer is given again as it is; a refusal is not kept."""
        edge = self.edge('on = ["response"]\naction = "mask"\n')
        for done in ("MISS", "HIT"):
            self.assertEqual(self.ask(edge, f"about {CANARY}"), (done, "This is a mock answer to: about [CANARY]"))
        edge = self.edge('on = ["response"]\n')
        for _ in range(2):
            done, said = self.ask(edge, f"about {CANARY}")
            self.assertEqual(done, "MISS")
            self.assertIn("withheld", said)
            self.assertEqual(len(edge.records[-1].routing.attempts), 1)

    def test_a_blocked_request_is_not_answered_from_it(self) -> None:
        edge = self.edge("default_on = false\n")
        body = {"model": "m", "messages": [{"role": "user", "content": CANARY}]}
        self.assertEqual(edge.ask(body=body).status, 200)
        self.assertEqual(edge.ask(body=body).headers["x-llmedge-cache"], "HIT")
        self.assertEqual(edge.ask(body=body | {"guardrails": ["g"]}).status, 400)

    def test_what_nobody_could_look_at_is_not_kept(self) -> None:
        """It went on as it came: once its guardrail can say again, it shall."""
        told = patch_types(self)
        judge = '[[guardrails]]\nname = "s"\ntype = "told"\nmode = "{}"\non = ["response"]\non_failure = "open"\n'
        for mode, want in (("enforce", ("MISS", "HIT")), ("shadow", ("HIT", "HIT"))):
            edge = Edge(CACHE + judge.format(mode))
            told.made["s"].says = lambda material: GuardFailed("unavailable")
            self.assertEqual(self.ask(edge, "hi")[0], "MISS")
            told.made["s"].says = lambda material: Judgement()
            self.assertEqual((self.ask(edge, "hi")[0], self.ask(edge, "hi")[0]), want)
