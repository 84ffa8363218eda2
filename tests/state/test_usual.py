from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.usual import UsualTimes


class Usual(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.usual = UsualTimes()

    def learn(self, kind: str, seconds: float, times: int = 1) -> float:
        share = 0.0
        for _ in range(times):
            self.clock.advance(1)
            share = self.usual.learn(kind, seconds, self.clock.seconds())
        return share

    def test_each_kind_has_its_own(self) -> None:
        """What takes ten times as long as another kind is as usual; what takes twice its own time is not."""
        self.learn("short", 0.5, 20)
        self.assertAlmostEqual(self.learn("long", 5.0, 20), 1.0)
        self.assertAlmostEqual(self.usual.of("short") or 0.0, 0.5)
        self.assertAlmostEqual(self.usual.of("long") or 0.0, 5.0)
        self.assertApproximates(self.learn("long", 10.0), 2.0, 0.1)

    def test_what_is_not_known(self) -> None:
        """Is about as long as what is."""
        self.assertIsNone(self.usual.of("any"))
        self.learn("short", 1.0)
        self.learn("long", 4.0)
        self.assertAlmostEqual(self.usual.of("any") or 0.0, 2.0)

    def test_it_forgets(self) -> None:
        """Within minutes, by time: a busy second of slow answers changes little, and one after an hour counts."""
        self.learn("a", 1.0, 1000)
        for _ in range(200):
            self.usual.learn("a", 9.0, self.clock.seconds())
        self.assertLess(self.usual.of("a") or 9.0, 1.6)
        self.learn("a", 9.0, 1800)
        self.assertGreater(self.usual.of("a") or 0.0, 7.0)
        self.clock.advance(3600)
        self.usual.learn("a", 0.1, self.clock.seconds())
        self.assertAlmostEqual(self.usual.of("a") or 0.0, 0.1)

    def test_bounds(self) -> None:
        """Clients choose the sizes: kinds are not without number. No time at all is a short time."""
        for number in range(1000):
            self.learn(str(number), 1.0)
        self.assertLessEqual(len(self.usual._known), 64)
        self.assertGreater(self.learn("zero", 0.0), 0.0)
