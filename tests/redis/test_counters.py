from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.redis import counters as module
from llmedge.redis.counters import EPOCH, SharedCounters, Values


class Hash:
    """A Redis with one hash, or none."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.away = False
        self.refused: set[bytes] = set()
        self.commands: list[tuple[bytes, ...]] = []

    def do(self, command: bytes, name: bytes, *rest: bytes) -> Any:
        self.commands.append((command, *rest))
        if command in self.refused:
            return None
        match command, *rest:
            case (b"HGETALL",):
                return [part for pair in self.fields.items() for part in pair]
            case b"HSETNX", field, value:
                if field in self.fields:
                    return 0
                self.fields[field] = value
                return 1
            case b"HSET", field, value:
                self.fields[field] = value
                return 0
            case b"HINCRBY", field, b"1":
                self.fields[field] = b"%d" % (int(self.fields.get(field, b"0")) + 1)
                return int(self.fields[field])
            case (b"DEL",):
                self.fields.clear()
                return 1
        raise AssertionError(command)


class Process:
    """One of those that share it."""

    def __init__(self, clock: Clock, hash: Hash) -> None:
        self.hash = hash
        self.prefix = b"p:"
        self.cut_off = False
        self.entered: list[Callable[[], object]] = []
        self.told: list[Values] = []
        self.counters = SharedCounters(clock, self, b"generations")
        self.counters.watch(self.told.append)
        self.counters.start()

    def read(self, *command: bytes) -> Deferred[Any] | None:
        if self.cut_off:
            return None
        assert command[1] == b"p:generations"
        return succeed(None if self.hash.away else self.hash.do(*command))

    @property
    def seen(self) -> Values:
        return self.told[-1]


class Counting(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hash = Hash()
        self.one, self.other = Process(self.clock, self.hash), Process(self.clock, self.hash)
        self.addCleanup(self.one.counters.stop)
        self.addCleanup(self.other.counters.stop)

    def second(self) -> None:
        self.clock.advance(1.0)

    def bump(self, who: Process, field: str) -> bool:
        result: bool = self.successResultOf(Deferred.fromCoroutine(who.counters.bump(field)))
        return result

    def test_before_anything_is_known_each_is_alone(self) -> None:
        """What is kept under it nobody else finds, nor the same process once it is known."""
        self.assertEqual([list(each.seen) for each in (self.one, self.other)], [[EPOCH], [EPOCH]])
        self.assertNotEqual(self.one.seen, self.other.seen)
        before = self.one.seen
        self.second()
        self.assertEqual(self.one.seen, self.other.seen)
        self.assertNotEqual(self.one.seen, before)

    def test_all_know_within_a_second(self) -> None:
        self.second()
        self.assertTrue(self.bump(self.one, "scope:a"))
        self.assertEqual(self.one.seen["scope:a"], b"1")
        self.assertNotIn("scope:a", self.other.seen)
        self.second()
        self.assertEqual(self.other.seen, self.one.seen)
        told = len(self.other.told)
        self.second()
        self.assertEqual(len(self.other.told), told)

    def test_known_at_once_when_it_is_there_again(self) -> None:
        for entered in self.one.entered:
            entered()
        self.assertEqual(self.one.seen[EPOCH], self.hash.fields[b"epoch"])

    def test_while_it_is_away(self) -> None:
        """Here it is counted at once, as something nobody else has; the others know once they can."""
        self.second()
        before = self.one.seen
        self.one.cut_off = True
        self.assertFalse(self.bump(self.one, "all"))
        alone = self.one.seen["all"]
        self.assertEqual(dict(self.one.seen), {**before, "all": alone})
        self.bump(self.other, "all")
        self.assertNotEqual(self.other.seen["all"], alone)
        self.second()
        self.assertEqual(self.one.seen["all"], alone)
        self.one.cut_off = False
        self.second()
        self.second()
        self.assertEqual(self.one.seen["all"], b"2")
        self.assertEqual(self.other.seen, self.one.seen)

    def test_twice_before_the_others_know(self) -> None:
        self.hash.away = True
        self.assertFalse(self.bump(self.one, "all"))
        first = self.one.seen["all"]
        self.assertFalse(self.bump(self.one, "all"))
        self.assertNotEqual(self.one.seen["all"], first)
        self.hash.away = False
        self.second()
        self.assertEqual(self.one.seen["all"], b"1")

    def test_what_is_forgotten_does_not_come_back(self) -> None:
        """Evicted, emptied, or of a replica that had not heard of it: all is another epoch's."""
        self.second()
        for lose in (
            self.hash.fields.clear,
            lambda: self.hash.fields.update({b"all": b"1"}),
            lambda: self.hash.fields.pop(b"all"),
            lambda: self.hash.fields.update({b"all": b"nonsense"}),
        ):
            self.bump(self.one, "all")
            self.bump(self.one, "all")
            self.second()
            before = self.one.seen[EPOCH]
            lose()
            self.second()
            self.second()
            self.assertNotEqual(self.one.seen[EPOCH], before)
            self.assertEqual(self.one.seen, self.other.seen)
            self.assertEqual(self.one.seen[EPOCH], self.hash.fields[b"epoch"])

    def test_nor_while_nobody_can_say_so(self) -> None:
        """What this process knows stays in force until there is another epoch."""
        self.second()
        self.bump(self.one, "all")
        known = self.one.seen
        self.hash.fields[b"all"] = b"0"
        self.hash.refused = {b"HSET"}
        self.second()
        self.assertEqual(self.one.seen, known)
        self.hash.refused = set()
        self.second()
        self.assertNotEqual(self.one.seen[EPOCH], known[EPOCH])

    def test_nor_does_an_epoch_that_is_over(self) -> None:
        self.second()
        old = dict(self.hash.fields)
        self.assertTrue(self.bump(self.one, EPOCH))
        new = self.one.seen[EPOCH]
        self.hash.fields = dict(old)
        self.second()
        self.assertNotIn(self.one.seen[EPOCH], (old[b"epoch"], new))
        self.second()
        self.assertEqual(self.one.seen, self.other.seen)

    def test_there_are_never_too_many(self) -> None:
        """All begin anew instead."""
        self.patch(module, "FIELDS", 10)
        self.second()
        epoch = self.one.seen[EPOCH]
        for number in range(9):
            self.bump(self.one, f"scope:{number}")
        self.assertEqual((len(self.one.seen), self.one.seen[EPOCH]), (10, epoch))
        self.bump(self.one, "scope:0")
        self.assertEqual(self.one.seen[EPOCH], epoch)
        self.assertTrue(self.bump(self.one, "scope:9"))
        self.assertEqual(list(self.one.seen), [EPOCH])
        self.assertNotEqual(self.one.seen[EPOCH], epoch)

    def test_it_stops(self) -> None:
        self.one.counters.stop()
        self.other.counters.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.one.entered, [])
        seen = self.one.seen
        self.second()
        self.assertEqual(self.one.seen, seen)

    def test_who_fails_to_be_told_is_told_again(self) -> None:
        """It is logged, and the watch goes on."""
        told: list[Values] = []

        def tell(values: Values) -> None:
            told.append(values)
            if len(told) == 2:
                raise KeyError("once")

        self.one.counters.watch(tell)
        self.second()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.second()
        self.assertEqual(told[2], told[1])
        self.assertEqual(len(told), 3)
