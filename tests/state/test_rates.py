from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.rate_limit import RateLimit
from llmedge.model import Caller, Limits
from llmedge.state.memory import TokenBucket
from llmedge.state.rates import RateLimiter, Shortage, take_all
from tests.state.test_quota import Remote


class Elsewhere(Remote):
    """One that is given back what was taken."""

    given_back = 0.0

    def refund(self, amount: float = 1.0) -> None:
        self.given_back += amount


class TakeAll(SynchronousTestCase):
    def setUp(self) -> None:
        self.near = TokenBucket(Clock(), 60, 10)
        self.far = [Elsewhere(), Elsewhere()]

    def asking(self) -> Deferred[Any]:
        claims = [(self.near, 2.0), (self.far[0], 3.0), (self.near, 1.0), (self.far[1], 4.0)]
        taking: Any = take_all(claims)
        return Deferred.fromCoroutine(taking)

    def answer(self, far: int, wait: float) -> None:
        self.far[far].asked.pop().callback(wait)

    def left(self) -> tuple[int, float, float]:
        return self.near.level().remaining, self.far[0].given_back, self.far[1].given_back

    def test_at_once(self) -> None:
        """Nobody has to be asked: no coroutine, no Deferred."""
        self.assertIsNone(take_all([(self.near, 4.0), (self.near, 6.0)]))
        self.near.refund(10)
        self.assertEqual(take_all([(self.near, 4.0), (self.near, 8.0)]), Shortage(self.near, 2.0))
        self.assertEqual(self.near.level().remaining, 10)

    def test_later(self) -> None:
        asking = self.asking()
        self.answer(0, 0.0)
        self.assertNoResult(asking)
        self.answer(1, 0.0)
        self.assertIsNone(self.successResultOf(asking))
        self.assertEqual(self.left(), (7, 0.0, 0.0))

    def test_too_little(self) -> None:
        """Wherever it is, all that was taken before is given back, and nothing else."""
        asking = self.asking()
        self.answer(0, 7.0)
        self.assertEqual(self.successResultOf(asking), Shortage(self.far[0], 7.0))
        self.assertEqual(self.left(), (10, 0.0, 0.0))
        asking = self.asking()
        self.answer(0, 0.0)
        self.answer(1, 8.0)
        self.assertEqual(self.successResultOf(asking), Shortage(self.far[1], 8.0))
        self.assertEqual(self.left(), (10, 3.0, 0.0))
        self.near.take(8)
        asking = self.asking()
        self.answer(0, 0.0)
        self.assertEqual(self.successResultOf(asking), Shortage(self.near, 1.0))
        self.assertEqual(self.left(), (2, 6.0, 0.0))

    def test_cancelled_or_failed(self) -> None:
        for end, kind in (
            (lambda asking: asking.cancel(), CancelledError),
            (lambda asking: self.far[1].asked.pop().errback(OSError()), OSError),
        ):
            asking = self.asking()
            self.answer(0, 0.0)
            end(asking)
            self.failureResultOf(asking, kind)
            self.assertEqual(self.near.level().remaining, 10)
        self.assertEqual(self.left(), (10, 6.0, 0.0))


class Shown(SynchronousTestCase):
    def test_who_refused_is_shown(self) -> None:
        """Also where the other bucket has filled up since it was last asked, or was never looked at."""
        clock = Clock()
        limiter = RateLimiter(RateLimit(rpm=60, burst=5), clock)
        one, other = Caller("one", limits=(Limits("key:one", "The key 'one'", rpm=1, burst=1),)), Caller("other")
        limiter.take(one)
        for _ in range(4):
            limiter.take(other)
        clock.advance(30)
        taken = limiter.take(one)
        assert isinstance(taken, tuple)
        level, refusal = taken
        assert refusal is not None
        self.assertEqual((level.limit, level.remaining, refusal.scope), (1, 0, "key"))
