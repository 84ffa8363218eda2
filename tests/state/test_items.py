"""Items of answers are kept for a while, within bounds, each for its owner."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.items import OVERHEAD, ItemMemory


class Items(SynchronousTestCase):
    def test_found_by_its_owner(self) -> None:
        memory = ItemMemory(Clock())
        memory.put("a", "msg_1", b"one")
        memory.put("a", "msg_1", b"two")
        self.assertEqual((memory.get("a", "msg_1"), memory.get("b", "msg_1")), (b"two", None))

    def test_for_a_while(self) -> None:
        clock = Clock()
        memory = ItemMemory(clock, seconds=10)
        memory.put("a", "msg_1", b"one")
        clock.advance(10)
        self.assertEqual(memory.get("a", "msg_1"), b"one")
        clock.advance(1)
        self.assertIsNone(memory.get("a", "msg_1"))

    def test_the_oldest_go_first(self) -> None:
        """Where all together are too many, whoever's they are."""
        memory = ItemMemory(Clock(), limit=2 * OVERHEAD + 10, share=2 * OVERHEAD + 8)
        for owner, name in (("a", "1"), ("b", "2"), ("c", "3")):
            memory.put(owner, name, b"four")
        self.assertEqual([memory.get(*each) for each in (("a", "1"), ("b", "2"), ("c", "3"))], [None, b"four", b"four"])

    def test_nobody_crowds_out_the_others(self) -> None:
        memory = ItemMemory(Clock(), limit=9 * OVERHEAD, share=2 * OVERHEAD + 8)
        memory.put("b", "0", b"b's")
        for number in range(50):
            memory.put("a", str(number), b"four")
        self.assertEqual(memory.get("b", "0"), b"b's")
        self.assertEqual([number for number in range(50) if memory.get("a", str(number))], [48, 49])
        memory.put("a", "large", b"x" * 3 * OVERHEAD)
        self.assertIsNone(memory.get("a", "large"))

    def test_who_has_nothing_left(self) -> None:
        """An item that is too large is not kept, and whose it was is no hindrance when room is needed."""
        memory = ItemMemory(Clock(), limit=2 * OVERHEAD, share=OVERHEAD + 8)
        memory.put("a", "large", b"x" * OVERHEAD)
        for owner in "bcd":
            memory.put(owner, "1", b"four")
        self.assertEqual([memory.get(owner, "1") for owner in "bcd"], [None, None, b"four"])
