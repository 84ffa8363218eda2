"""Bodies of many small things: how many there may be, and who deals with them."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.foreign import MOST_NAMED
from llmedge.record import DROPPED
from llmedge.threads import is_heavy
from tests.fakes import CHAT, Edge
from tests.web.through import Asked, Through

LIMIT = "[server]\nmax_items = 500\n"
TEXT = {"type": "text", "text": "x"}
SAID = {"role": "user", "content": "x"}
TOOL = {"name": "t", "input_schema": {"type": "object"}}


def many(count: int) -> dict[str, tuple[str, Any]]:
    """Bodies with ``count`` items each."""
    return {
        "messages": ("/v1/chat/completions", {"model": "m", "messages": [SAID] * count}),
        "parts": (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": [TEXT] * (count - 1)}]},
        ),
        "of an unknown model": ("/v1/chat/completions", {"model": "nobody's", "messages": [SAID] * count}),
        "Anthropic's tools": (
            "/v1/messages",
            {"model": "m", "max_tokens": 9, "messages": [SAID], "tools": [TOOL] * (count - 1)},
        ),
        "to be counted": ("/v1/messages/count_tokens", {"model": "m", "messages": [SAID] * count}),
        "Responses": ("/v1/responses", {"model": "m", "input": [SAID] * count}),
        "Gemini's parts": (
            "/v1beta/models/m:generateContent",
            {"contents": [{"parts": [{"text": "x"}] * (count - 1)}]},
        ),
        "lists": ("/v1/embeddings", {"model": "m", "input": [[1]] * count}),
        "rerank": ("/v1/rerank", {"model": "m", "query": "x", "documents": [{"text": "x"}] * count}),
    }


class Items(SynchronousTestCase):
    def test_too_many(self) -> None:
        """More than ``max_items`` are refused, in every dialect, whatever they are; as many as that are not."""
        edge = Edge(LIMIT + '[providers.p]\ndialect = "mock"\nmodels = ["m"]\n')
        for path, body in many(501).values():
            response = edge.ask(path=path, body=body)
            self.assertEqual(response.status, 413, path)
            self.assertIn(b"server.max_items", response.body)
            self.assertEqual(response.headers["x-should-retry"], "false")
        self.assertEqual({record.outcome for record in edge.records}, {"error"})
        for path, body in many(500).values():
            self.assertNotEqual(edge.ask(path=path, body=body).status, 413, path)

    def test_threads(self) -> None:
        """What is large, or of many small things, is read in a thread; what is not is read at once."""
        edge = Edge()
        used: list[Any] = []
        there = edge.reactor.callInThreadWithCallback
        self.patch(edge.reactor, "callInThreadWithCallback", lambda *args: (used.append(args[1]), there(*args)))
        for body, threads in (
            (CHAT, 0),
            (CHAT | {"messages": [SAID] * 300}, 0),
            (CHAT | {"messages": [SAID] * 2000}, 1),
            (CHAT | {"messages": [{"role": "user", "content": "x" * 200000}]}, 0),
            (CHAT | {"messages": [{"role": "user", "content": "x" * 300000}]}, 1),
            (CHAT | {"metadata": {str(n): "x" for n in range(5000)}}, 1),
        ):
            used.clear()
            self.assertEqual(edge.ask(body=body).status, 200)
            self.assertEqual(len(used), threads)

    def test_heavy(self) -> None:
        for raw, heavy in (
            (b"[" * 16383, False),
            (b"[" * 16384, True),
            (b"," * 16384, True),
            (b"x" * 262143, False),
            (b"x" * 262144, True),
        ):
            self.assertEqual(is_heavy(raw), heavy, raw[:2])


class Translated(Through):
    def test_in_a_thread(self) -> None:
        """So is it translated."""
        self.begin()
        used: list[Any] = []
        there = self.edge.reactor.callInThreadWithCallback
        self.patch(self.edge.reactor, "callInThreadWithCallback", lambda *args: (used.append(1), there(*args)))
        for count, threads in ((10, 0), (2000, 2)):
            used.clear()
            _, asked = self.ask_vendor("/v1beta/models/m:generateContent", count)
            self.assertEqual((len(used), json.loads(asked.body)["messages"][0]["role"]), (threads, "user"))

    def ask_vendor(self, path: str, count: int) -> Any:
        wire = self.ask(path, {"contents": [{"role": "user", "parts": [{"text": "x"}] * count}]})
        return wire, Asked(self.edge)

    def test_names(self) -> None:
        """Of thousands of fields that are left out some are named: each costs as much as the first."""
        made_up = {f"made-up-{number}": 1 for number in range(20000)}
        choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
        for path, body in (
            ("/v1beta/models/m:generateContent", {"contents": [{"parts": [{"text": "x"}]}]} | made_up),
            ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [SAID], "metadata": made_up}),
        ):
            self.begin('[models.m]\ntargets = ["v/m"]\non_unsupported = "drop"\n')
            self.ask(path, body)
            asked = Asked(self.edge)
            self.assertNotIn(b"made-up", asked.body)
            asked.answer(200, {"id": "c", "choices": [choice]})
            self.edge.reactor.advance(0)
            self.assertEqual(len(self.edge.records[-1].facts[DROPPED]), MOST_NAMED, path)
