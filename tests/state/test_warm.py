from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.warm import TARGETS, Warm

TALK, SHARED = b"talk", b"shared"


class Targets(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.warm = Warm(self.clock, most=3)

    def test_ranks(self) -> None:
        """Who had the conversation last is before who had it earlier, or has what many conversations share."""
        self.assertEqual(self.warm.ranks((TALK, SHARED)), {})
        self.warm.note((TALK, SHARED), "a", 300)
        self.warm.note((b"other", SHARED), "b", 300)
        self.assertEqual(self.warm.ranks((TALK, SHARED)), {"a": 0, "b": 1})
        self.assertEqual(self.warm.ranks((b"new", SHARED)), {"a": 1, "b": 1})
        self.warm.note((TALK, SHARED), "b", 300)
        self.assertEqual(self.warm.ranks((TALK, SHARED)), {"a": 1, "b": 0})
        self.assertEqual(self.warm.ranks((TALK,)), {"a": 1, "b": 0})

    def test_as_long_as_it_lives(self) -> None:
        """Use makes it live longer, and nothing shortens what was kept for an hour."""
        self.warm.note((TALK,), "a", 300)
        self.clock.advance(299)
        self.assertEqual(self.warm.ranks((TALK,)), {"a": 0})
        self.warm.note((TALK,), "a", 599)
        self.clock.advance(299)
        self.assertEqual(self.warm.ranks((TALK,)), {"a": 0})
        self.clock.advance(1)
        self.assertEqual(self.warm.ranks((TALK,)), {})
        self.warm.note((TALK,), "a", 3600)
        self.warm.note((TALK,), "a", 900)
        self.clock.advance(2900)
        self.assertEqual(self.warm.ranks((TALK,)), {"a": 0})

    def test_bounds(self) -> None:
        """The beginning that was not used for longest goes; of one, the target."""
        for each in (b"1", b"2", b"3", b"1", b"4"):
            self.warm.note((each,), "a", 300)
        self.assertEqual(
            [bool(self.warm.ranks((each,))) for each in (b"1", b"2", b"3", b"4")], [True, False, True, True]
        )
        for number in range(TARGETS + 1):
            self.warm.note((b"1",), f"t{number}", 300)
        self.assertEqual(len(self.warm.ranks((b"1",))), TARGETS)
        self.assertEqual(self.warm.ranks((b"1",))[f"t{TARGETS}"], 0)
