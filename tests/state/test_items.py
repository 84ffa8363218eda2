"""Items of answers are kept for a while, within bounds, each for its owner."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.items import ItemMemory


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
        memory = ItemMemory(Clock(), limit=10, share=8)
        for owner, name in (("a", "1"), ("b", "2"), ("c", "3")):
            memory.put(owner, name, b"four")
        self.assertEqual([memory.get(*each) for each in (("a", "1"), ("b", "2"), ("c", "3"))], [None, b"four", b"four"])

    def test_nobody_crowds_out_the_others(self) -> None:
        memory = ItemMemory(Clock(), limit=100, share=8)
        memory.put("b", "0", b"b's")
        for number in range(50):
            memory.put("a", str(number), b"four")
        self.assertEqual(memory.get("b", "0"), b"b's")
        self.assertEqual([number for number in range(50) if memory.get("a", str(number))], [48, 49])
        memory.put("a", "large", b"x" * 9)
        self.assertIsNone(memory.get("a", "large"))
