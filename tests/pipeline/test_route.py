from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing as Settings
from llmedge.errors import ConnectFailed, EdgeError, UpstreamCut, VendorRateLimited, VendorRefused
from llmedge.model import Answer, Caller, Deadline, Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.route import Route
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import compose
from llmedge.pipeline.strategies import Strategies
from llmedge.record import Attempt, Record
from llmedge.streams import AwaitedStream
from tests.pipeline.test_settle import stage_deps

ROLE = Event(EventKind.LIFECYCLE, b"role")
WORD = Event(EventKind.CONTENT, b"word")
DONE = Event(EventKind.DONE, b"done")


class Stream(AwaitedStream):
    usage = Usage(1, 2)

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.aborted = False

    async def next_batch(self) -> list[Event]:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Deferred):
            await step
        return step

    def abort(self) -> None:
        super().abort()
        self.aborted = True


class Vendor:
    def __init__(self, name: str, reply: Any) -> None:
        self.name = name
        self.reply = reply
        self.asked = 0

    async def complete(self, call: Call, attempt: Attempt) -> Any:
        self.asked += 1
        if isinstance(self.reply, Exception):
            raise self.reply
        if isinstance(self.reply, Deferred):
            await self.reply
        return self.reply


class Routing(SynchronousTestCase):
    def route(self, *replies: Any, stream: bool = False, recovery: str = "off") -> Deferred[Any]:
        clock = Clock()
        self.vendors = [Vendor(f"p{index}", reply) for index, reply in enumerate(replies)]
        providers = {vendor.name: vendor for vendor in self.vendors}
        index = ModelIndex(
            {"m": Model(tuple(TargetEntry(f"{name}/x") for name in providers), stream_recovery=recovery)},
            dict.fromkeys(providers, Provider()),
        )
        self.record = Record("id", "POST", "/", "peer", 0.0)
        call = Call(
            Operation.CHAT, "openai_chat", "m", {}, stream, False, 1, Caller("c"), Deadline(clock, 30), self.record
        )
        call.match = index.find("m")
        settle = Settle(stage_deps(index))
        random = Random(1)
        deployments = Deployments(clock, random)
        strategies = Strategies(deployments, None, random)
        route = Route(RouteDeps(index, providers, deployments, strategies, Settings(retries=0), clock, random))
        handler = compose([settle], route)[Operation.CHAT]
        return Deferred.fromCoroutine(handler(call))

    def outcomes(self) -> list[tuple[str, str]]:
        return [(str(attempt.target), attempt.outcome) for attempt in self.record.routing.attempts]

    def test_an_answer(self) -> None:
        answer = Answer(b"{}", Usage(3, 4))
        self.assertIs(self.successResultOf(self.route(answer)), answer)
        self.assertEqual((self.record.accounting.usage, self.record.outcome), (Usage(3, 4), "ok"))
        self.assertEqual(self.outcomes(), [("p0/x", "ok")])

    def test_the_next_target(self) -> None:
        """A target that fails is passed over, and the record says why."""
        answer = Answer(b"{}")
        self.assertIs(self.successResultOf(self.route(ConnectFailed("A"), UpstreamCut("B"), answer)), answer)
        self.assertEqual(self.outcomes(), [("p0/x", "connect"), ("p1/x", "cut"), ("p2/x", "ok")])
        self.assertEqual((self.record.error_code, self.record.outcome), ("", "ok"))

    def test_all_fail(self) -> None:
        """The message keeps every reason, the delay is the shortest one asked for."""
        limited = VendorRateLimited("B.", retry_after=9)
        error = self.failureResultOf(self.route(VendorRateLimited("A.", retry_after=4), limited), EdgeError).value
        self.assertEqual(error.message, "All 2 attempts failed. A. B.")
        self.assertEqual((error.status, error.retry_after), (429, 4))
        self.assertEqual(self.record.error_code, "RATE_LIMIT_ERROR")

    def test_a_refusal_is_final(self) -> None:
        """Nobody else is asked a question that is wrong."""
        self.failureResultOf(self.route(VendorRefused("no"), Answer(b"{}")), VendorRefused)
        self.assertEqual(self.vendors[1].asked, 0)

    def test_a_defect_says_nothing(self) -> None:
        error = self.failureResultOf(self.route(ValueError("secret detail")), EdgeError).value
        self.assertNotIn("secret", error.message)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_lifecycle_is_held_back(self) -> None:
        """A stream that fails after its role frame falls back without a trace of it."""
        broken, good = Stream([[ROLE], UpstreamCut("cut")]), Stream([[ROLE], [WORD], [DONE]])
        reply = self.successResultOf(self.route(broken, good, stream=True))
        self.assertTrue(broken.aborted)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(reply.read())), [ROLE, WORD])
        self.assertEqual(self.record.outcome, "")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(reply.read())), [DONE])
        self.assertEqual((self.record.outcome, self.record.accounting.usage), ("ok", Usage(1, 2)))
        self.assertEqual(self.outcomes(), [("p0/x", "cut"), ("p1/x", "ok")])
        # What nobody was shown is not paid for, and who ended well is asked for its own count.
        self.assertEqual([attempt.said for attempt in self.record.routing.attempts], [0, 0])

    def test_a_break_after_content(self) -> None:
        """Once content is out, a break is the end, and it is on record."""
        stream = Stream([[WORD], UpstreamCut("it broke")])
        reply = self.successResultOf(self.route(stream, Answer(b"{}"), stream=True))
        self.successResultOf(Deferred.fromCoroutine(reply.read()))
        self.failureResultOf(Deferred.fromCoroutine(reply.read()), UpstreamCut)
        self.assertEqual((self.record.outcome, self.record.error_message), ("cut", "it broke"))
        self.assertEqual(self.outcomes(), [("p0/x", "cut")])

    def test_leaving(self) -> None:
        """Cancelled in any phase, the attempt is closed in the record and nobody else is asked."""
        waiting = self.route(Deferred(), Answer(b"{}"))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.outcomes(), [("p0/x", "aborted")])
        stream = Stream([Deferred(), [WORD]])
        waiting = self.route(stream, Answer(b"{}"), stream=True)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(stream.aborted)
