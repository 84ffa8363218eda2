"""What is written down of usage and cost, on every way out."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.prices import Price
from llmedge.errors import EdgeError, UpstreamCut, UpstreamTimeout
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Target, Usage
from llmedge.operations import Operation
from llmedge.pipeline import tokens
from llmedge.pipeline.deployment import Lease
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import StageDeps
from llmedge.pipeline.tokens import TokenCounter
from llmedge.record import Attempt, Record
from llmedge.state.allowances import Allowances
from llmedge.state.items import ItemMemory
from llmedge.streams import AwaitedStream
from tests.pipeline.test_prices import at_once, usd


class Place(Lease):
    """One that nobody counts."""

    def __init__(self) -> None:
        pass

    end = failed = abandon = lambda self, *args: None


DONE = Event(EventKind.DONE, b"data: [DONE]\n\n")


def word(text: str) -> Event:
    return Event(EventKind.CONTENT, b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode())


class Stream(AwaitedStream):
    usage: Usage | None = None

    def __init__(self, script: list[Any], usage: Usage | None) -> None:
        self.script = script
        self.usage = usage

    async def next_batch(self) -> list[Event]:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def stage_deps(
    index: ModelIndex, items: ItemMemory | None = None, prices: Mapping[str, Price] | None = None
) -> StageDeps:
    """What stages are built with, where there is no store."""
    return StageDeps(
        index,
        Prices(prices or {}, {}, Clock(), at_once),
        TokenCounter(at_once),
        items or ItemMemory(Clock()),
        Allowances(Clock()),
        lambda funds, seconds: succeed(None),
    )


class WithPrices(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(tokens, "_load_tokenizer", lambda name: None)  # four bytes a token
        configured = {"a/x": Price(Decimal(9), Decimal(9)), "b/y": Price(Decimal(1), Decimal(10))}
        self.settle = Settle(stage_deps(ModelIndex({}, {}), prices=configured))


class Costs(WithPrices):
    def ask(self, reply: Any, stream: bool = False, dialect: str = "openai_chat") -> Any:
        self.record = Record("id", "POST", "/", "peer", 0.0)
        raw = {"messages": msgspec.Raw(json.dumps([{"role": "user", "content": "x" * 40}]).encode())}
        call = Call(
            Operation.CHAT, dialect, "m", raw, stream, False, 1, Caller("c"), Deadline(Clock(), 30), self.record
        )

        async def proceed(call: Call) -> Any:
            answers = Attempt(Target("b", "y"), 0.0, connected=0.1)
            call.record.routing.attempts += [Attempt(Target("a", "x"), 0.0), answers]
            if isinstance(reply, Answer):
                return reply
            call.record.routing.answered_by = answers
            return RoutedStream(reply, None, answers, Clock(), Place())

        return self.successResultOf(Deferred.fromCoroutine(self.settle(call, proceed)))

    def next(self, stream: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(stream.read()))

    def test_an_answer(self) -> None:
        """The price of the target that answered, not of the one that failed before."""
        self.ask(Answer(b"{}", Usage(1000, 100)))
        self.assertEqual((self.record.accounting.cost, self.record.accounting.estimated), (usd("0.002"), False))

    def test_attempts_that_broke(self) -> None:
        """What others said before they broke is paid for as well, estimated where they did not tell."""
        for told, extra in ((Usage(10, 20), "0.000270"), (None, "0.000216")):
            stream = self.ask(Stream([[DONE]], Usage(1000, 100)), stream=True)
            broken = self.record.routing.attempts[0]
            broken.usage, broken.said = told, 20
            self.next(stream)
            self.assertEqual(self.record.accounting.cost, usd("0.002") + usd(extra))
            self.assertEqual(self.record.accounting.usage, Usage(1000, 100))
            self.assertEqual([each.cost for each in self.record.routing.attempts], [usd(extra), usd("0.002")])
            assert broken.usage is not None
            self.assertEqual((broken.usage.output, broken.usage.estimated), (20, False) if told else (5, True))

    def test_an_answer_without_usage(self) -> None:
        self.ask(Answer(b'{"choices":[{"message":{"content":"12345678"}}]}'))
        self.assertEqual(self.record.accounting.usage, Usage(10 + 7, 2, estimated=True))
        self.assertEqual((self.record.accounting.cost, self.record.accounting.estimated), (usd("0.000037"), True))

    def test_a_stream(self) -> None:
        stream = self.ask(Stream([[word("a")], [DONE]], Usage(1000, 100)), stream=True)
        self.next(stream)
        self.assertIsNone(self.record.accounting.cost)
        self.next(stream)
        self.assertEqual((self.record.accounting.cost, self.record.outcome), (usd("0.002"), "ok"))

    def test_a_stream_of_a_deployment(self) -> None:
        """The price is that of the model which its beginning names."""
        prices = Prices({}, {"b": "azure"}, Clock(), at_once)
        prices.warm()
        self.settle = Settle(attrs.evolve(self.settle.deps, prices=prices))
        named = Event(EventKind.LIFECYCLE, b'data: {"model":"gpt-4o-2024-08-06","choices":[]}\n\n')
        stream = self.ask(Stream([[named, word("a")], [word("b")], [DONE]], Usage(1000, 1000)), stream=True)
        for _ in range(3):
            self.next(stream)
        self.assertEqual(self.record.accounting.cost, usd("0.0125"))

    def test_a_stream_that_takes_no_comment(self) -> None:
        """google-genai reads a comment as a piece of JSON, and raises."""
        stream = self.ask(Stream([[word("a"), DONE]], Usage(1000, 100)), stream=True, dialect="gemini")
        self.assertEqual(self.next(stream)[-1].frame, DONE.frame)
        self.assertEqual(self.record.accounting.cost, usd("0.002"))

    def test_a_stream_without_usage(self) -> None:
        """Counted before DONE is handed on. Of a provider that told last time no text was read: a rougher estimate."""
        script = [[word("1234"), word("5678")], [word("12"), DONE]]
        stream = self.ask(Stream([*script], None), stream=True)
        self.next(stream)
        self.assertIsNone(self.record.accounting.usage)
        self.assertEqual(self.next(stream)[-1].frame, b": x-llmedge-cost-usd 0.000047\n" + DONE.frame)
        self.assertEqual(self.record.accounting.usage, Usage(17, 3, estimated=True))
        self.settle.reports_usage.add("b")
        stream = self.ask(Stream([*script], None), stream=True)
        self.next(stream)
        self.assertIsNone(stream.meter)
        self.next(stream)
        assert self.record.accounting.usage is not None
        self.assertEqual((self.record.accounting.usage.output, self.record.accounting.usage.estimated), (3, True))
        self.assertEqual(self.settle.reports_usage, set())

    def test_a_long_stream(self) -> None:
        """All of its text counts, of which a part is kept."""
        stream = self.ask(Stream([[word("1234" * 50)] for _ in range(50)] + [[DONE]], None), stream=True)
        for _ in range(51):
            self.next(stream)
        assert self.record.accounting.usage is not None
        self.assertEqual(self.record.accounting.usage.output, 2500)

    def test_left_and_broken(self) -> None:
        """What is known is charged at once, what is not is estimated; where nothing was said, the prompt."""
        for usage, expected in (
            (None, (True, 3)),  # of nine bytes
            (Usage(5, 1), (True, 3)),  # a first count, at the stream's beginning
            (Usage(5, 50), (False, 50)),
        ):
            stream = self.ask(Stream([[word("a"), word("bcde"), word("fghi")]], usage), stream=True)
            self.next(stream)
            stream.abort()
            stream.abort()
            found = self.record.accounting.usage
            assert found is not None
            self.assertEqual((found.estimated, found.output), expected)
            self.assertIsNotNone(self.record.accounting.cost)
        stream = self.ask(Stream([[word("a")], UpstreamCut("it broke")], None), stream=True)
        self.next(stream)
        self.failureResultOf(Deferred.fromCoroutine(stream.read()), UpstreamCut)
        self.assertTrue(self.record.accounting.estimated)
        self.ask(Stream([], None), stream=True).abort()
        self.assertEqual(self.record.accounting.usage, Usage(19, 0, estimated=True))

    def test_left_after_much(self) -> None:
        """Two events of 4,500 bytes are as many tokens as their text has, whether or not its provider tells its usage
        at the end."""
        for told_before in (set(), {"b"}):
            self.settle.reports_usage |= told_before
            stream = self.ask(Stream([[word("x" * 4500)], [word("x" * 4500)]], None), stream=True)
            self.next(stream)
            self.next(stream)
            stream.abort()
            assert self.record.accounting.usage is not None
            self.assertEqual(self.record.accounting.usage.output, 2250, told_before)


LEFT = Attempt(Target("a", "x"), 0.0, connected=0.1, outcome="aborted")


class InVain(WithPrices):
    """What vendors were put to work for and nobody waited for."""

    def end(self, reply: Any, *attempts: Attempt) -> Any:
        """A call of forty bytes (17 tokens with what is around them, roughly) that ends so."""
        self.record = Record("id", "POST", "/", "peer", 0.0)
        raw = {"messages": msgspec.Raw(json.dumps([{"role": "user", "content": "x" * 34}]).encode())}
        call = Call(
            self.operation, "openai_chat", "m", raw, False, False, 1, Caller("c"), Deadline(Clock(), 30), self.record
        )

        async def proceed(call: Call) -> Any:
            call.record.routing.attempts += [msgspec.structs.replace(each) for each in attempts]
            if isinstance(reply, BaseException):
                raise reply
            call.record.routing.answered_by = call.record.routing.attempts[-1]
            return reply

        work = Deferred.fromCoroutine(self.settle(call, proceed))
        work.addErrback(lambda failure: failure.trap(CancelledError, EdgeError))
        return self.successResultOf(work)

    operation = Operation.CHAT

    def totals(self) -> tuple[Usage | None, int | None]:
        return self.record.accounting.usage, self.record.accounting.cost

    def test_a_client_that_left(self) -> None:
        """Or a deadline that passed: the prompt at least, marked, and what was said of it."""
        self.end(CancelledError(), LEFT)
        self.assertEqual(self.totals(), (Usage(17, 0, estimated=True), usd("0.000153")))
        self.assertTrue(self.record.accounting.estimated)
        self.end(CancelledError(), msgspec.structs.replace(LEFT, said=40))
        self.assertEqual(self.totals(), (Usage(17, 10, estimated=True), usd("0.000243")))
        self.end(CancelledError(), msgspec.structs.replace(LEFT, usage=Usage(5, 6)))
        self.assertEqual(self.totals(), (Usage(5, 6), usd("0.000099")))

    def test_a_silent_target(self) -> None:
        """Each that was waited for in vain."""
        silent = msgspec.structs.replace(LEFT, outcome="timeout", cause="silent")
        other = msgspec.structs.replace(silent, target=Target("b", "y"))
        self.end(UpstreamTimeout("nothing came"), silent, other)
        self.assertEqual(self.totals(), (Usage(17, 0, estimated=True), usd("0.000170")))
        self.assertEqual([each.cost for each in self.record.routing.attempts], [usd("0.000153"), usd("0.000017")])

    def test_a_race(self) -> None:
        """The loser's prompt is in the cost; the usage is that of the answer."""
        self.end(Answer(b"{}", Usage(1000, 100)), LEFT, Attempt(Target("b", "y"), 0.0, outcome="ok"))
        self.assertEqual(self.totals(), (Usage(1000, 100), usd("0.002153")))
        loser = self.record.routing.attempts[0]
        self.assertEqual((loser.usage, loser.cost), (Usage(17, 0, estimated=True), usd("0.000153")))

    def test_nothing_was_done(self) -> None:
        """Who never got the request, or refused it; and what is not counted in tokens."""
        unasked = msgspec.structs.replace(LEFT, connected=None)
        failed = Attempt(Target("a", "x"), 0.0, connected=0.1, outcome="status", cause="status_500")
        for attempts in ((), (unasked,), (failed,)):
            self.end(CancelledError(), *attempts)
            self.assertEqual(self.totals(), (None, None))
        for self.operation in (Operation.COUNT_TOKENS, Operation.AUDIO_TRANSLATIONS):
            self.end(CancelledError(), LEFT)
            self.assertEqual(self.totals(), (None, None))
