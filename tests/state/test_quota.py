from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import TargetBusy
from llmedge.state.interfaces import Level
from llmedge.state.memory import TokenBucket
from llmedge.state.rates import Quota, Reservation, quota


class Remote:
    """A bucket that has to ask somebody."""

    rpm = burst = 60
    left = 1.0

    def __init__(self) -> None:
        self.asked: list[Deferred[float]] = []

    def take(self, amount: float = 1.0) -> Deferred[float]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def refund(self, amount: float = 1.0) -> None:
        raise AssertionError("nothing was taken")

    def level(self, taken: bool = False) -> Level:
        return Level(self.rpm, 1, 0.0)


class Limits(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def reserve(self, of: Quota, tokens: int) -> Reservation:
        return self.successResultOf(Deferred.fromCoroutine(of.reserve(tokens)))

    def refusal(self, of: Quota, tokens: int) -> float | None:
        failure = self.failureResultOf(Deferred.fromCoroutine(of.reserve(tokens)), TargetBusy)
        return failure.value.retry_after

    def test_requests(self) -> None:
        limits = quota(self.clock, requests=2)
        self.reserve(limits, 10**9)
        self.reserve(limits, 0).commit(5)
        self.assertEqual(self.refusal(limits, 0), 30)

    def test_what_was_not_used_comes_back(self) -> None:
        """4,000 were reserved and 100 used: the next call finds 3,900 more."""
        limits = quota(self.clock, tokens=6000)
        first = self.reserve(limits, 4000)
        self.assertEqual(self.refusal(limits, 4000), 20)
        first.commit(100)
        self.reserve(limits, 4000)

    def test_what_was_used_beyond_is_owed(self) -> None:
        limits = quota(self.clock, tokens=6000)
        self.reserve(limits, 100).commit(6600)
        self.assertEqual(self.refusal(limits, 1), 6.01)

    def test_larger_than_the_limit(self) -> None:
        """A call larger than a minute's worth goes out when the bucket is full, and the next ones pay for it."""
        limits = quota(self.clock, tokens=6000)
        self.reserve(limits, 9000)
        self.assertEqual(self.refusal(limits, 9000), 90)
        self.clock.advance(90)
        self.reserve(limits, 9000)

    def test_both_or_neither(self) -> None:
        """Refused for its tokens, a call has not used up a request."""
        limits = quota(self.clock, requests=1, tokens=100)
        hog = TokenBucket(self.clock, 60, 1)
        hog.take()
        self.assertEqual(self.refusal(Quota(requests := TokenBucket(self.clock, 60, 1), hog), 1), 1)
        self.assertEqual(requests.level().remaining, 1)
        self.reserve(limits, 100).cancel()
        self.reserve(limits, 100)

    def test_settled_once(self) -> None:
        limits = quota(self.clock, requests=5, tokens=100)
        reservation = self.reserve(limits, 100)
        reservation.commit(60)
        reservation.commit(0)
        reservation.cancel()
        self.assertEqual(self.refusal(limits, 50), 6)

    def test_no_limit(self) -> None:
        """What has no limit is never used up, nor owed; the same calls use up any other."""
        for limits, wait in (
            (quota(self.clock), None),
            (quota(self.clock, requests=100), 0.6),
            (quota(self.clock, tokens=10**8), 0.6),
        ):
            for _ in range(100):
                self.reserve(limits, 10**6).commit(10**6)
            if wait is None:
                self.reserve(limits, 10**6).commit(10**9)
                self.reserve(limits, 10**6)
            else:
                self.assertAlmostEqual(self.refusal(limits, 10**6), wait)

    def test_a_bucket_elsewhere(self) -> None:
        """One that answers later is waited for; cancelled meanwhile, what was taken here is given back."""
        requests, remote = TokenBucket(self.clock, 60, 1), Remote()
        limits = Quota(requests, remote)
        pending = Deferred.fromCoroutine(limits.reserve(7))
        self.assertNoResult(pending)
        pending.cancel()
        self.failureResultOf(pending, CancelledError)
        self.assertEqual(requests.level().remaining, 1)
        pending = Deferred.fromCoroutine(limits.reserve(7))
        remote.asked[-1].callback(3.0)
        self.assertEqual(self.failureResultOf(pending, TargetBusy).value.retry_after, 3.0)
        self.assertEqual(requests.level().remaining, 1)
        pending = Deferred.fromCoroutine(limits.reserve(7))
        remote.asked[-1].callback(0.0)
        self.successResultOf(pending)
