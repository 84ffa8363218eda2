"""Every attempt that may be billed has its usage and its cost, and a call costs what its attempts do together."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.prices import Price
from llmedge.model import Caller, Deadline, Target, Usage
from llmedge.operations import Operation
from llmedge.pipeline.books import Books, model_in
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.verdicts import VERDICTS
from llmedge.record import COST_UNKNOWN, PROMPT_CACHE_SAVED, Attempt, Record
from tests.pipeline.test_prices import at_once

PRICES = {
    "a/*": Price(Decimal(1), Decimal(10)),
    "b/*": Price(Decimal(2), Decimal(20), cached=Decimal(1), tiers={"flex": Decimal("0.5")}),
    "v/*": Price(characters=Decimal(15)),
    "r/*": Price(request=Decimal("0.002")),
}
ASKED = {"messages": [{"role": "user", "content": "x" * 366}]}
"""Of four hundred bytes: a hundred tokens, roughly."""
READ = 100


def call(operation: Operation = Operation.CHAT, asked: Any = ASKED) -> Call:
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in asked.items()}
    dialect = "passthrough" if operation.passes_through else "openai_chat"
    record = Record("id", "POST", "/", "peer", 0.0)
    return Call(operation, dialect, "m", raw, False, False, 1, Caller("c"), Deadline(Clock(), 30), record)


def attempt(at: str = "a", **more: Any) -> Attempt:
    return Attempt(Target(at, "m"), 0.0, **({"connected": 0.1, "outcome": "aborted"} | more))


class Entries(SynchronousTestCase):
    def setUp(self) -> None:
        self.books = Books(Prices(PRICES, {}, Clock(), at_once))

    def test_each_way_out(self) -> None:
        """What an attempt that nobody got a whole answer of is billed for: what it told, what it said if that is more,
        the prompt where its vendor had it; nothing where the vendor did nothing."""
        estimate = {"estimated": True}
        for case, made, used, micros in (
            ("left before a word", attempt(), Usage(READ, 0, **estimate), 100),
            ("left in mid-answer", attempt(said=40), Usage(READ, 10, **estimate), 200),
            ("told a beginning", attempt(said=40, usage=Usage(90, 1)), Usage(90, 10, **estimate), 190),
            ("told all", attempt(said=40, usage=Usage(90, 30)), Usage(90, 30), 390),
            ("a race lost by a whole answer", attempt(outcome="ok", usage=Usage(90, 30)), Usage(90, 30), 390),
            ("the same, untold", attempt(outcome="ok", said=80), Usage(READ, 20, **estimate), 300),
            ("never connected", attempt(connected=None), None, None),
            ("no word in time", attempt(outcome="timeout", cause="silent"), Usage(READ, 0, **estimate), 100),
            ("an answer that stopped", attempt(outcome="timeout", cause="stall"), Usage(READ, 0, **estimate), 100),
            ("cut", attempt(outcome="cut", cause="cut"), Usage(READ, 0, **estimate), 100),
            ("no JSON", attempt(outcome="malformed", cause="malformed"), Usage(READ, 0, **estimate), 100),
            ("refused", attempt(outcome="status", cause="status_429"), None, None),
            ("failed", attempt(outcome="status", cause="status_500"), None, None),
            ("an error after 40 bytes", attempt(cause="error_event", said=40), Usage(READ, 10, **estimate), 200),
        ):
            self.assertIn(made.cause or "cut", VERDICTS, case)
            asked = call()
            asked.record.routing.attempts = [made]
            self.books.enter_vain(asked)
            cost = None if micros is None else micros * 10**6
            self.assertEqual((made.usage, made.cost, made.unpriced), (used, cost, False), case)
            accounting = asked.record.accounting
            self.assertEqual((accounting.usage, accounting.cost, accounting.unpriced), (used, cost, False), case)

    def test_what_a_cache_saved(self) -> None:
        """What reading the prompt whole would have cost, less what it did; below 0 where it was only written. Nothing
        is said where that is not known, or nothing was saved."""
        prices = {
            "a/*": Price(Decimal(10), Decimal(10), cached=Decimal(1), cache_write=Decimal("12.5")),
            "b/*": Price(Decimal(2), Decimal(20)),
        }
        books = Books(Prices(prices, {"v": ""}, Clock(), at_once))
        for case, at, usage, saved in (
            ("read", "a", Usage(1000, 5, cached=800), 0.0072),
            ("written", "a", Usage(1000, 5, cache_write=800), -0.002),
            ("both", "a", Usage(1000, 5, cached=500, cache_write=400), 0.0035),
            ("neither", "a", Usage(1000, 5), None),
            ("at the same price", "b", Usage(1000, 5, cached=800), None),
            ("the vendor's own sum", "a", Usage(1000, 5, cached=800, cost=3), 0.0072),
            ("no price", "c", Usage(1000, 5, cached=800), None),
            ("a vendor's sum only", "c", Usage(1000, 5, cached=800, cost=3), None),
        ):
            asked = call()
            asked.record.routing.attempts = [attempt(at, outcome="ok")]
            books.enter_answer(asked, usage)
            self.assertEqual(asked.record.facts.get(PROMPT_CACHE_SAVED), saved, case)

    def test_sums(self) -> None:
        """Whatever became of its attempts, a call costs their sum, and is said to be unpriced if one of them is."""
        random = Random(5)
        for answered in (True, False):
            for _ in range(200):
                asked = call()
                attempts = asked.record.routing.attempts = [
                    attempt(
                        random.choice("abx"),
                        said=random.choice((0, 0, 1, 999)),
                        connected=random.choice((None, 0.1)),
                        outcome=random.choice(("ok", "aborted", "status", "cut")),
                        cause=random.choice(("", "silent", "status_503", "cut")),
                        usage=random.choice((None, Usage(7, 9, 3))),
                    )
                    for _ in range(random.randint(1, 5))
                ]
                if answered:
                    asked.record.routing.answered_by = attempts[-1]
                    self.books.enter_answer(asked, Usage(11, 13))
                else:
                    self.books.enter_vain(asked)
                costs = [each.cost for each in attempts if each.cost is not None]
                accounting = asked.record.accounting
                self.assertEqual(accounting.cost, sum(costs) if costs else None)
                self.assertEqual(accounting.unpriced, any(each.unpriced for each in attempts))
                self.assertEqual(COST_UNKNOWN in asked.record.facts, accounting.unpriced and bool(costs))
                self.assertEqual(accounting.known_cost, None if accounting.unpriced else accounting.cost)
                for each in attempts:
                    self.assertEqual(each.unpriced, each.usage is not None and each.cost is None)
                    self.assertEqual(each.unpriced, each.usage is not None and each.target.provider == "x")

    def test_of_no_tokens(self) -> None:
        """A spoken text is paid by its characters, a request by itself; of sounds and pictures nobody can tell."""
        text = {"input": "Grüße\n" * 10}
        for at, operation, micros in (
            ("v", Operation.AUDIO_SPEECH, 900),
            ("a", Operation.AUDIO_SPEECH, None),
            ("r", Operation.RERANK, 2000),
            ("v", Operation.AUDIO_TRANSCRIPTIONS, None),
            ("a", Operation.IMAGES_GENERATIONS, None),
            ("x", Operation.MODERATIONS, None),
        ):
            asked = call(operation, text)
            asked.record.routing.attempts = [made := attempt(at)]
            self.books.enter_vain(asked)
            self.assertEqual((made.cost, made.unpriced), (micros and micros * 10**6, micros is None), (at, operation))

    def test_who_answered(self) -> None:
        """What an answer says of its model, in any dialect, and never what a model wrote."""
        for said, model in (
            (b'{"id":"c","model":"gpt-4o","choices":[]}', "gpt-4o"),
            (b'{"candidates":[],"modelVersion":"gemini-2.5-pro"}', "gemini-2.5-pro"),
            (
                b'{"content":[{"type":"tool_use","input":{"model":"cheap"}}],"model":"claude-opus-4-1"}',
                "claude-opus-4-1",
            ),
            (b'{"content":[{"type":"tool_use","input":{"model":"cheap"}}]}', ""),
            (b'data: {"model":"gpt-4o","choices":[]}\n\ndata: {"model":"later"}\n\n', "gpt-4o"),
            (b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude"}}\n\n', "claude"),
            (b'data: {"type":"response.created","response":{"model":"gpt-5"}}\n\n', "gpt-5"),
            (b'data: {"candidates":[],"modelVersion":"gemini"}\n\n', "gemini"),
            (b": a comment\n\ndata: [DONE]\n\n", ""),
            (b'{"model":7}', ""),
            (b"ID3\x00sound", ""),
            (b"", ""),
        ):
            self.assertEqual(model_in(said), model, said)

    def test_a_deployment_of_ones_own_name(self) -> None:
        """Costs what the model costs that its answers name; from then on its work in vain, too."""
        prices = Prices({}, {"z": "azure"}, Clock(), at_once)
        prices.warm()
        self.books = Books(prices)
        for answer, usd in ((b"", None), (b'{"model":"gpt-4o-2024-08-06"}', 12_500_000_000), (b"", 12_500_000_000)):
            asked = call()
            asked.record.routing.attempts = [made := attempt("z", outcome="ok")]
            self.books.enter_answer(asked, Usage(1000, 1000), answer)
            self.assertEqual((made.cost, made.unpriced), (usd, usd is None))
        asked.record.routing.attempts = [made := attempt("z")]
        self.books.enter_vain(asked)
        self.assertEqual(made.cost, 250_000_000)

    def test_counting_is_free(self) -> None:
        asked = call(Operation.COUNT_TOKENS)
        asked.record.routing.attempts = [made := attempt()]
        self.books.enter_vain(asked)
        self.assertEqual((made.usage, asked.record.accounting.cost), (None, None))

    def test_the_tier_that_was_asked_for(self) -> None:
        """Counts where nobody told which one it was."""
        for tier, micros in (("flex", 100), ("default", 200), ("auto", 200), ("priority", None)):
            asked = call(asked=ASKED | {"service_tier": tier})
            asked.record.routing.attempts = [made := attempt("b")]
            self.books.enter_vain(asked)
            self.assertEqual((made.cost, made.unpriced), (micros and micros * 10**6, micros is None), tier)
