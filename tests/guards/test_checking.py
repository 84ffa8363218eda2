"""Checkers that are slow, dead, wrong or lying."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import GuardFailed, Judgement, Material, Place
from llmedge.guards.refusals import GuardrailUnavailable
from llmedge.guards.verdicts import Stop, Tally
from tests.effort import examples
from tests.guards.made import call, guard

TIMEOUT = 0.5


async def never(material: Material) -> Any:
    await Deferred()


async def heedless(material: Material) -> Any:
    """Does not stop when it is told to."""
    while True:
        try:
            await Deferred()
        except CancelledError:
            continue


def late(seconds: float, clock: Clock) -> Any:
    async def check(material: Material) -> Any:
        waiting: Deferred[None] = Deferred()
        clock.callLater(seconds, waiting.callback, None)
        await waiting
        return Judgement()

    return check


class Lying:
    def __init__(self, check: Any) -> None:
        self.check = check


def says(value: Any) -> Any:
    async def check(material: Material) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return check


WRONG = {
    "no judgement": says(None),
    "a dictionary": says({"verdict": "pass"}),
    "another word": says(Judgement("allowed")),  # type: ignore[arg-type]
    "too few texts": says(Judgement("change", texts=[])),
    "no texts": says(Judgement("change")),
    "numbers": says(Judgement("change", texts=[1])),  # type: ignore[list-item]
    "away": says(GuardFailed("unavailable")),
    "broken": says(ZeroDivisionError()),
    "no coroutine": lambda material: "pass",
    "raises at once": lambda material: 1 / 0,
    "silent": never,
    "heedless": heedless,
}


KINDS = st.sampled_from([*WRONG, "good", "block", "slow"])


class Checkers(SynchronousTestCase):
    def check(self, *checks: Any, **settings: Any) -> tuple[Deferred[None], list[Tally], Material]:
        self.clock = Clock()
        tallies = [
            Tally(guard(checker=Lying(each), name=f"g{number}", timeout=TIMEOUT, **settings), True)
            for number, each in enumerate(checks)
        ]
        material = Material("request", [Place("request", "hi")], call({}, clock=self.clock))
        return Deferred.fromCoroutine(check_all(tallies, material, self.clock)), tallies, material

    def test_closed_stays_closed(self) -> None:
        """Within its time; nothing is left behind."""
        for name, check in WRONG.items():
            checking, tallies, _ = self.check(check)
            self.clock.advance(TIMEOUT)
            self.failureResultOf(checking, GuardrailUnavailable)
            self.assertEqual(tallies[0].verdict, "unavailable", name)
            self.assertEqual(self.clock.getDelayedCalls(), [], name)
            self.flushLoggedErrors()

    def test_open_passes_and_tells(self) -> None:
        for name, check in WRONG.items():
            checking, tallies, material = self.check(check, on_failure="open")
            self.clock.advance(TIMEOUT)
            self.successResultOf(checking)
            self.assertEqual(tallies[0].verdict, "open", name)
            self.assertEqual(material.places[0].text, "hi")
            self.flushLoggedErrors()

    @settings(max_examples=examples(100), deadline=None)
    @given(st.lists(st.tuples(KINDS, st.sampled_from(["closed", "open"])), min_size=1, max_size=4))
    def test_whatever_they_do(self, kinds: list[tuple[str, str]]) -> None:
        """It is let through only if each one that is closed has said that it may."""
        clock = Clock()
        good, block = says(Judgement()), says(Judgement("block"))
        checks = WRONG | {"good": good, "block": block, "slow": late(TIMEOUT * 2, clock)}
        tallies = [
            Tally(guard(checker=Lying(checks[kind]), name=f"g{at}", timeout=TIMEOUT, on_failure=rule), True)
            for at, (kind, rule) in enumerate(kinds)
        ]
        material = Material("request", [Place("request", "hi")], call({}, clock=clock))
        checking = Deferred.fromCoroutine(check_all(tallies, material, clock))
        clock.pump([TIMEOUT / 2] * 3)
        self.flushLoggedErrors()
        may = all(kind == "good" or (rule == "open" and kind != "block") for kind, rule in kinds)
        if may:
            self.successResultOf(checking)
        else:
            self.failureResultOf(checking, GuardrailUnavailable, Stop)

    def test_who_waits_may_leave(self) -> None:
        checking, _, _ = self.check(never, never)
        checking.addErrback(lambda failure: failure.trap(CancelledError))
        checking.cancel()
        self.successResultOf(checking)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_time_of_others(self) -> None:
        """What is waited for is none of the gateway's own time."""
        clock = Clock()
        tally = Tally(guard(checker=Lying(late(0.25, clock)), timeout=TIMEOUT), True)
        asked = call({}, clock=clock)
        checking = Deferred.fromCoroutine(check_all([tally], Material("request", [], asked), clock))
        clock.advance(0.25)
        self.successResultOf(checking)
        self.assertEqual(asked.record.routing.waited, 0.25)
        self.assertGreaterEqual(tally.told().ms, 250)
