"""Guardrails that ask a model that is configured here, in the whole gateway: in their caller's name, unguarded."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from llmedge.guards.verdicts import GUARDRAILS
from llmedge.record import Record
from tests.fakes import CHAT, Wire
from tests.guards.asking import CANARY
from tests.web.through import Asked, Through

TOML = """
[rate_limit]
enabled = false
[providers.v]
base_url = "http://127.0.0.1:9/v1"
models = ["*"]
[[auth.keys]]
name = "alice"
key = "key-a"
{limits}
[prices."v/*"]
input = 10
output = 10
[[guardrails]]
name = "judge"
type = "judge"
mode = "enforce"
model = "small"
policy = "No canaries."
timeout = 5
{more}
"""
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def chat(content: Any, **more: Any) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return document | {"choices": [choice], "usage": USAGE} | more


class Judged(Through):
    def put(self, limits: str = "", more: str = "", text: str = CANARY) -> Wire:
        self.begin(toml=TOML.format(limits=limits, more=more))
        body = CHAT | {"messages": [{"role": "user", "content": text}], "max_tokens": 10}
        wire = self.ask("/v1/chat/completions", body, headers={"authorization": "Bearer key-a"})
        self.take_turns()
        return wire

    def take_turns(self) -> None:
        """On a slow machine others have a turn in between."""
        self.edge.reactor.pump([0.0] * 9)

    def asked_for(self, asked: Asked) -> str:
        return str(json.loads(asked.body)["model"])

    def say(self, content: Any) -> None:
        self.vendor().answer(200, chat(content))
        self.take_turns()

    def observed(self) -> list[Record]:
        """Records of what the guardrail asked."""
        return [each for each in self.guarded if each.operation == "guardrail"]

    def begin(self, *args: Any, **kw: Any) -> None:
        super().begin(*args, **kw)
        self.guarded: list[Record] = []
        self.edge.service.graph.pipeline.deps.observers.append(self.guarded.append)

    def told(self) -> dict[str, Any]:
        (told,) = self.record.facts[GUARDRAILS]
        said: dict[str, Any] = msgspec.to_builtins(told)
        return said

    def test_asked_once(self) -> None:
        """About the call, not about what it asks itself; both are written down, each with its cost."""
        wire = self.put()
        self.assertEqual(self.asked_for(self.vendor()), "small")
        self.say({"violation": False, "score": 0.2})
        self.assertEqual(self.asked_for(self.vendor()), CHAT["model"])
        self.say("hello")
        self.assertEqual(wire.response().status, 200)
        (asked,) = self.observed()
        self.assertEqual((asked.caller, asked.model, asked.outcome, asked.status), ("alice", "small", "ok", 200))
        self.assertEqual((self.told()["score"], self.told()["cost_usd"]), (0.2, "0.011"))

    def test_blocked(self) -> None:
        wire = self.put()
        self.say({"violation": True})
        self.assertEqual(wire.response().error["code"], "content_policy_violation")

    def test_its_vendor_fails(self) -> None:
        """As if there was no verdict: closed, or open and told."""
        for status, document in ((500, {}), (200, {"choices": []}), (200, chat("Fine, I think."))):
            for more, code in (("", 503), ('on_failure = "open"', 200)):
                wire = self.put(more=more)
                self.vendor().answer(status, document)
                self.take_turns()
                if code == 200:
                    self.assertEqual(self.asked_for(self.vendor()), CHAT["model"])
                    self.say("hello")
                self.assertEqual(wire.response().status, code)
                self.assertEqual(self.told()["verdict"], "open" if more else "unavailable")

    def test_too_late(self) -> None:
        wire = self.put()
        self.vendor()
        self.edge.reactor.advance(5)
        self.assertEqual(wire.response().error["code"], "guardrail_unavailable")
        self.assertEqual(self.told()["cause"], "timeout")

    def test_within_budgets(self) -> None:
        """Where the caller's is spent nobody is asked."""
        wire = self.put(limits="budgets = [{amount = 0}]")
        self.assertEqual(wire.response().error["code"], "guardrail_unavailable")
        self.assertEqual(self.edge.reactor.tcpClients, [])
        self.assertEqual(self.observed()[0].error_code, "insufficient_quota")

    def test_its_own_limits(self) -> None:
        """A caller that may have one call under way can have its answer judged."""
        wire = self.put(limits="max_concurrency = 1", more='on = ["response"]')
        self.say("hello")
        self.assertEqual(self.asked_for(self.vendor()), "small")
        self.say({"violation": False})
        self.assertEqual(wire.response().status, 200)
