from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.interfaces import Level
from llmedge.state.memory import MemoryStore, TokenBucket


class Bucket(SynchronousTestCase):
    def test_burst_then_rate(self) -> None:
        """burst at once, then one every 60/rpm seconds."""
        clock = Clock()
        bucket = TokenBucket(clock, rpm=60, burst=3)
        self.assertEqual([bucket.take() for _ in range(4)], [0, 0, 0, 1.0])
        clock.advance(0.5)
        self.assertAlmostEqual(bucket.take(), 0.5)
        clock.advance(0.5)
        self.assertEqual(bucket.take(), 0)
        self.assertEqual(bucket.level(), Level(60, 0, 3.0))

    def test_refund(self) -> None:
        """Refused work is given back, never beyond the burst."""
        bucket = TokenBucket(Clock(), rpm=60, burst=2)
        bucket.take()
        bucket.refund()
        bucket.refund()
        self.assertEqual(bucket.level().remaining, 2)

    def test_a_clock_set_back_takes_nothing_away(self) -> None:
        clock = Clock()
        clock.advance(100)
        bucket = TokenBucket(clock, rpm=60, burst=2)
        bucket.take()
        clock.rightNow = 50
        self.assertEqual(bucket.take(), 0)
        self.assertAlmostEqual(bucket.take(), 1.0)

    @settings(max_examples=100, deadline=None)
    @given(
        st.integers(1, 6000), st.integers(1, 50), st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=60)
    )
    def test_never_more_than_burst_and_rate_allow(self, rpm: int, burst: int, pauses: list[float]) -> None:
        """Over any script of pauses, at most burst + rate x time is taken."""
        clock = Clock()
        bucket = TokenBucket(clock, rpm, burst)
        taken = 0
        for pause in pauses:
            clock.advance(pause)
            taken += sum(bucket.take() == 0 for _ in range(burst + 2))
            self.assertLessEqual(taken, burst + sum(pauses) * rpm / 60 + 1e-6)


class Stored(SynchronousTestCase):
    def test_one_for_each_key(self) -> None:
        store = MemoryStore(list)
        self.assertIs(store.get("a"), store.get("a"))
        self.assertIsNot(store.get("a"), store.get("b"))

    def test_bounded(self) -> None:
        """Keys that clients invent push each other out, not the ones in use."""
        store = MemoryStore(str.upper, maximum=3)
        for key in "abcadaeaf":
            store.get(key)
        self.assertEqual(list(store.items()), [("e", "E"), ("a", "A"), ("f", "F")])
