from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.latency import PeakEwma, Quantile


class Peak(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ewma = PeakEwma(self.clock, decay=10)

    def settle(self, latency: float, seconds: int) -> None:
        for _ in range(seconds * 10):
            self.clock.advance(0.1)
            self.ewma.observe(latency)

    def test_a_spike_is_believed_at_once_and_forgotten_slowly(self) -> None:
        self.settle(0.2, 30)
        self.assertAlmostEqual(self.ewma.score(0), 0.2)
        self.ewma.observe(5.0)
        self.assertEqual(self.ewma.score(0), 5.0)
        self.settle(0.2, 10)
        self.assertApproximates(self.ewma.score(0), 0.2 + 4.8 / 2.718, 0.01)
        self.settle(0.2, 60)
        self.assertApproximates(self.ewma.score(0), 0.2, 0.02)

    def test_time_counts_and_not_the_number_of_samples(self) -> None:
        """A thousand quick samples at one moment do not hide a spike of the moment before."""
        self.ewma.observe(5.0)
        for _ in range(1000):
            self.ewma.observe(0.1)
        self.assertEqual(self.ewma.score(0), 5.0)

    def test_who_is_left_alone_is_tried_again(self) -> None:
        """Without samples the value decays until another target looks no better."""
        self.ewma.observe(5.0)
        self.clock.advance(40)
        self.assertLess(self.ewma.score(0), 0.1)

    def test_reading_changes_nothing(self) -> None:
        self.ewma.observe(1.0)
        for _ in range(50):
            self.clock.advance(0.1)
            self.ewma.score(0)
        self.assertAlmostEqual(self.ewma.score(0), 0.6065, places=3)

    def test_pending_calls_make_it_worse(self) -> None:
        self.ewma.observe(1.0)
        self.assertEqual([self.ewma.score(pending) for pending in (0, 3, 8)], [1, 2, 3])

    def test_who_was_slow_is_tried_by_one_call(self) -> None:
        """As long as that has not answered, it is as slow as it was for the others."""
        self.ewma.observe(5.0)
        self.clock.advance(60)
        self.assertLess(self.ewma.score(0), 0.1)
        self.assertGreater(self.ewma.score(1), 5.0)

    def test_the_unknown_is_given_one_call(self) -> None:
        """The first call goes to it, the second one only when it has answered."""
        self.assertEqual(self.ewma.score(0), 0)
        self.assertGreater(self.ewma.score(1), 1e6)

    def test_at_least(self) -> None:
        """What was waited for in vain counts where it is more than is known, and holds the value where it is."""
        self.ewma.at_least(0.5)
        self.assertEqual(self.ewma.score(0), 0.5)
        self.ewma.at_least(0.2)
        self.assertEqual(self.ewma.score(0), 0.5)
        for _ in range(10):
            self.clock.advance(10)
            self.ewma.at_least(0.4)
        self.assertEqual(self.ewma.score(0), 0.4)

    def test_a_clock_set_back(self) -> None:
        self.clock.advance(100)
        self.ewma.observe(1.0)
        self.clock.rightNow = 50
        self.assertEqual(self.ewma.score(0), 1.0)
        self.ewma.observe(0.5)
        self.assertEqual(self.ewma.score(0), 1.0)


class Quantiles(SynchronousTestCase):
    def test_within_five_percent(self) -> None:
        """Against the exact quantile, from milliseconds to minutes, on a heavy tail."""
        for scale in 0.005, 0.3, 20.0:
            random = Random(3)
            quantile = Quantile(Clock())
            samples = sorted(scale * random.paretovariate(2.5) for _ in range(20_000))
            for sample in samples:
                quantile.observe(sample)
            value = quantile.at(0.99)
            assert value is not None
            self.assertApproximates(value / samples[19_800], 1.0, 0.06)

    def test_several(self) -> None:
        """Any of them, of the same samples; what is kept for a second is kept for each."""
        clock = Clock()
        quantile = Quantile(clock)
        for number in range(1000):
            quantile.observe(number / 100)
        for _ in range(2):
            for share in (0.5, 0.9, 0.99):
                self.assertApproximates((quantile.at(share) or 0.0) / (10 * share), 1.0, 0.06)
        quantile.observe(1000.0)
        self.assertLess(quantile.at(1.0) or 0.0, 1100.0)
        clock.advance(1.1)
        self.assertGreater(quantile.at(1.0) or 0.0, 900.0)

    def test_nothing_is_said_on_little_evidence(self) -> None:
        quantile = Quantile(Clock(), minimum=50)
        for _ in range(49):
            quantile.observe(1.0)
        self.assertIsNone(quantile.at(0.99))
        quantile.observe(1.0)
        value = quantile.at(0.99)
        assert value is not None
        self.assertApproximates(value, 1.0, 0.05)

    def test_it_lapses_without_traffic(self) -> None:
        clock = Clock()
        quantile = Quantile(clock, decay=60, minimum=50)
        for _ in range(100):
            quantile.observe(1.0)
        clock.advance(60)
        self.assertIsNone(quantile.at(0.99))

    def test_it_follows_a_change(self) -> None:
        """Ten minutes of 0.2 s a call, then 3 s: known within the first minute; and back again within an hour."""
        clock = Clock()
        quantile = Quantile(clock, decay=600)

        def run(latency: float, minutes: int) -> float:
            for _ in range(minutes * 60):
                clock.advance(1)
                quantile.observe(latency)
            quantile.at(0.99)
            clock.advance(1)  # past the answer it kept
            return quantile.at(0.99) or 0.0

        self.assertApproximates(run(0.2, 10), 0.2, 0.02)
        self.assertApproximates(run(3.0, 1), 3.0, 0.2)
        self.assertApproximates(run(0.2, 60), 0.2, 0.02)

    def test_weeks(self) -> None:
        """Weights neither overflow nor are lost over a month of calls, nor over a month without."""
        clock = Clock()
        quantile = Quantile(clock, decay=600)
        for _ in range(20_000):
            clock.advance(130)
            quantile.observe(0.5)
        self.assertIsNone(quantile.at(0.99))  # 4.6 samples weigh anything
        clock.advance(3e6)
        for _ in range(50):
            quantile.observe(0.0)
            quantile.observe(1e9)
        self.assertIsNotNone(quantile.at(0.99))
