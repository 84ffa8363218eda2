"""How a budget that is spent is told, in each dialect, and when it begins anew, wherever people live."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes import CHAT
from tests.pipeline.test_reserve import KEY, Limited
from tests.web.test_websocket import Socket

GEMINI = {"contents": [{"parts": [{"text": "hello"}]}]}
INPUT = {"model": "m", "input": "hi"}
OF_OPENAI = ("error", "code", "insufficient_quota", "error", "type", "insufficient_quota")
OF_ANTHROPIC = ("type", "error", "error", "type", "rate_limit_error")
OF_GOOGLE = ("error", "status", "RESOURCE_EXHAUSTED")
TOLD: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("/v1/chat/completions", CHAT | {"model": "m"}, OF_OPENAI),
    ("/v1/chat/completions", CHAT | {"model": "m", "stream": True}, OF_OPENAI),
    ("/v1/completions", {"model": "m", "prompt": "hi"}, OF_OPENAI),
    ("/v1/responses", INPUT, OF_OPENAI),
    ("/v1/responses", INPUT | {"stream": True}, OF_OPENAI),
    ("/v1/embeddings", INPUT, OF_OPENAI),
    ("/v1/moderations", INPUT, OF_OPENAI),
    ("/v1/rerank", {"model": "m", "query": "a", "documents": ["b"]}, OF_OPENAI),
    ("/v1/images/generations", {"model": "m", "prompt": "hi"}, OF_OPENAI),
    ("/v1/audio/speech", INPUT | {"voice": "x"}, OF_OPENAI),
    ("/v1/messages", CHAT | {"model": "m", "max_tokens": 9}, OF_ANTHROPIC),
    ("/v1/messages", CHAT | {"model": "m", "max_tokens": 9, "stream": True}, OF_ANTHROPIC),
    ("/v1beta/models/m:generateContent", GEMINI, OF_GOOGLE),
    ("/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI, OF_GOOGLE),
    ("/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "hello"}]}}, OF_GOOGLE),
)


class Refusals(Limited):
    def test_in_each_dialects_words(self) -> None:
        """429, whose budget and of what, and that no retry helps."""
        edge = self.edge("budgets = [{amount = 0, period = 'day'}]")
        for path, document, told in TOLD:
            answer = edge.ask(path=path, body=document, headers=KEY)
            self.assertEqual((answer.status, answer.headers["x-should-retry"]), (429, "false"), path)
            body = json.loads(answer.body)
            names = list(told)
            while names:
                found = body
                while isinstance(found, dict):
                    found = found[names.pop(0)]
                self.assertEqual(found, names.pop(0), path)
            self.assertIn("The budget of the key 'a' is spent: 0 USD a day.", answer.body.decode(), path)
        self.assertEqual({len(each.routing.attempts) for each in edge.records}, {0})

    def test_counting_is_free(self) -> None:
        edge = self.edge("budgets = [{amount = 0, period = 'day'}]")
        document = CHAT | {"model": "m"}
        self.assertEqual(edge.ask(path="/v1/messages/count_tokens", body=document, headers=KEY).status, 200)

    def test_the_minutes_tokens(self) -> None:
        """What is left of them stands on refusals, too, whatever they are for."""
        edge = self.edge("tpm = 2000\nbudgets = [{amount = 0}]")
        for path, document, _ in TOLD[:1]:
            answer = edge.ask(path=path, body=document, headers=KEY)
            self.assertEqual((answer.status, answer.headers["x-ratelimit-limit-tokens"]), (429, "2000"))
        edge = self.edge("tpm = 2000", "latency = 1")
        self.begin(edge, max_tokens=1900)
        answer = self.ask(edge, max_tokens=1900)
        self.assertEqual(json.loads(answer.body)["error"]["code"], "RATE_LIMIT_ERROR")
        self.assertLess(int(answer.headers["x-ratelimit-remaining-tokens"]), 100)
        self.assertRegex(answer.headers["x-ratelimit-reset-tokens"], r"^5\d(\.\d+)?s$")

    def test_soon_anew(self) -> None:
        """Within a minute of the period's end it says when."""
        edge = self.edge("budgets = [{amount = 0, period = 'day'}]")
        now = edge.reactor.seconds()
        edge.reactor.advance(86400 - now % 86400 - 30)
        self.assertEqual(self.ask(edge).headers["retry-after"], "30")


class Unpriced(Limited):
    def test_what_others_cost_counts(self) -> None:
        """Where it is allowed that somebody who may be asked has no price; and what is spent is spent."""
        more = "[prices.'mock/y']\ncharacters = 1\n[models.n]\ntargets = ['mock/x', 'mock/y']\nstrategy = 'priority'"
        edge = self.edge(f"budgets = [{{amount = 0.0002, unpriced = 'allow'}}]\n{more}")
        statuses = [self.ask(edge, model="n").status for _ in range(5)]
        (fund,) = self.allowances.funds.values()
        self.assertEqual((fund.spent, fund.held), (self.spent(edge), 0))
        self.assertEqual(statuses, [200, 200, 200, 429, 429])

    def test_what_is_free_is_never_too_much(self) -> None:
        edge = self.edge("budgets = [{amount = 0}]\n[providers.other]\ndialect = 'mock'")
        self.assertEqual(self.ask(edge, model="other/x").status, 200)


class Sockets(Limited):
    def test_each_message_is_a_call(self) -> None:
        """It reserves, it settles, and its refusal is a message; a client that leaves gives back what is held."""
        edge = self.edge("budgets = [{amount = 0.0015, period = 'total'}]", "latency = 1\nchunk_interval = 0.5")
        socket = Socket(edge, x_api_key="key-a")
        (held,) = self.hold(socket, edge)
        self.assertGreater(held, 0)
        edge.reactor.pump([0.5] * 60)
        socket.look()
        self.assertEqual(socket.texts()[-1], "[DONE]")
        (fund,) = self.allowances.funds.values()
        self.assertEqual((fund.held, fund.spent), (0, self.spent(edge)))
        self.hold(socket, edge)
        socket.wire.leave()
        edge.reactor.advance(0)
        self.nothing_held()
        self.assertEqual(fund.spent, self.spent(edge))
        fund.spent = fund.amount
        socket = Socket(edge, x_api_key="key-a")
        socket.ask(model="m", max_tokens=10)
        self.assertEqual(json.loads(socket.texts()[-1])["error"]["code"], "insufficient_quota")

    def hold(self, socket: Socket, edge: Any) -> list[int]:
        """What is held while a message has its answer begun."""
        socket.ask(model="m", max_tokens=10)
        edge.reactor.pump([0.5] * 4)
        socket.look()
        return [fund.held for fund in self.allowances.funds.values()]


class Resets(Limited):
    def test_at_midnight_whatever_clocks_do(self) -> None:
        """Not a second sooner or later, over days of 23, 24 and 25 hours, and where there are none."""
        for zone, first, days in (
            ("Europe/Amsterdam", "2026-03-27", 4),
            ("Europe/Amsterdam", "2026-10-23", 4),
            ("Asia/Tokyo", "2026-03-27", 4),
            ("Asia/Tokyo", "2026-10-23", 4),
        ):
            edge = self.edge(f"budgets = [{{amount = 0.0002, period = 'day', time_zone = '{zone}'}}]")
            day = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone))
            for _ in range(days):
                day = (day + timedelta(1)).replace(hour=0)
                midnight = day.timestamp()
                edge.reactor.advance(midnight - 1 - edge.reactor.seconds())
                while self.ask(edge, max_tokens=10).status == 200:
                    pass
                self.assertEqual(self.ask(edge, max_tokens=10).headers["retry-after"], "1")
                edge.reactor.advance(1)
                self.assertEqual(self.ask(edge, max_tokens=10).status, 200, f"{zone} {day}")
