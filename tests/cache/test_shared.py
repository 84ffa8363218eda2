from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.entry import Entry
from llmedge.cache.sealed import Seal
from llmedge.cache.shared import _FORMAT as FORMAT
from llmedge.cache.shared import SharedAnswers
from llmedge.config.secret import Secret
from llmedge.model import Usage

KEY, OTHER = bytes(range(32)), bytes(32)
NAME = b"p:cache:" + KEY.hex().encode()
CANARY = b"canary-in-the-body"
SECRET = Secret("a-secret-of-the-deployment")
USAGE = Usage(input=3, output=4, cached=1, tier="flex", cost=5)


def entry(body: bytes = CANARY, keep: float = 60.5, usage: Usage | None = USAGE) -> Entry:
    return Entry(body, b"application/json", 3, "openai", "gpt-4o", usage, 1.5e9, 30.0, keep, (b"chatcmpl-1", b"17"))


class Redis:
    """A dictionary."""

    prefix = b"p:"

    def __init__(self) -> None:
        self.kept: dict[bytes, Any] = {}
        self.milliseconds: list[bytes] = []
        self.away = False

    def read(self, *command: bytes) -> Deferred[Any] | None:
        if self.away:
            return None
        values = [self.kept.get(name) for name in command[1:]]
        return succeed(values if command[0] == b"MGET" else values[0])

    def write(self, *command: bytes) -> None:
        _, name, value, _, milliseconds = command
        self.kept[name] = value
        self.milliseconds.append(milliseconds)


class SharedLevel(SynchronousTestCase):
    def setUp(self) -> None:
        self.redis = Redis()
        self.plain = SharedAnswers(self.redis)
        self.sealed = SharedAnswers(self.redis, Seal([SECRET]))

    def get(self, answers: SharedAnswers, key: bytes = KEY) -> Entry | None:
        asked = answers.get(key)
        assert asked is not None
        found: Entry | None = self.successResultOf(asked)
        return found

    @given(st.binary(max_size=10_000) | st.binary(min_size=1, max_size=9).map(lambda text: text * 20_000))
    def test_there_and_back(self, body: bytes) -> None:
        for answers in (self.plain, self.sealed):
            for usage in (USAGE, None):
                answers.put(KEY, entry(body, usage=usage))
                self.assertEqual(self.get(answers), entry(body, usage=usage))

    def test_under_which_name_and_for_how_long(self) -> None:
        self.plain.put(KEY, entry())
        self.assertEqual(list(self.redis.kept), [NAME])
        self.assertEqual(self.redis.milliseconds, [b"60500"])
        self.plain.put(OTHER, entry(keep=0.0))
        self.assertEqual(list(self.redis.kept), [NAME])
        self.assertIsNone(self.get(self.plain, OTHER))

    def test_nobody_is_asked(self) -> None:
        self.redis.away = True
        self.assertIsNone(self.plain.get(KEY))

    def test_what_repeats_itself_takes_little_room(self) -> None:
        """As the frames of a stream do; what is small, large or by chance stays as it is."""
        frame = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":" a"}}]}\n\n'
        for body, most in ((frame * 60, 600), (frame * 10, 2000), (frame * 2000, 10**6)):
            self.plain.put(KEY, entry(body))
            size = len(self.redis.kept[NAME])
            self.assertLess(size, most)
            self.assertEqual(size < len(body), len(body) == len(frame) * 60)

    def test_what_is_sealed_shows_nothing(self) -> None:
        """Neither what was said, nor who said it."""
        self.sealed.put(KEY, entry())
        ((name, value),) = self.redis.kept.items()
        for word in (CANARY, b"gpt-4o", b"chatcmpl", b"json"):
            self.assertNotIn(word, value)
        self.assertNotIn(KEY.hex().encode(), name)

    def test_only_what_was_meant_for_it_is_read(self) -> None:
        """Neither what somebody has put there in the open, nor what belongs to another key."""
        self.sealed.put(OTHER, entry())
        ((_, elsewhere),) = self.redis.kept.items()
        self.sealed.put(KEY, entry())
        name = list(self.redis.kept)[1]
        self.assertEqual(self.get(self.sealed), entry())
        self.plain.put(KEY, entry())
        for value in (elsewhere, self.redis.kept[NAME]):
            self.redis.kept[name] = self.redis.kept[NAME] = value
            self.assertIsNone(self.get(self.sealed))
        self.redis.kept[NAME] = elsewhere
        self.assertIsNone(self.get(self.plain))

    def test_while_the_secret_is_changed(self) -> None:
        """What was sealed with either is found, by those who have both."""
        old, new = Seal([SECRET]), Seal([Secret("another-secret-for-it")])
        both = SharedAnswers(self.redis, Seal([Secret("another-secret-for-it"), SECRET]))
        SharedAnswers(self.redis, old).put(KEY, entry())
        self.assertEqual(self.get(both), entry())
        both.put(OTHER, entry())
        self.assertEqual(self.get(SharedAnswers(self.redis, new), OTHER), entry())
        self.assertIsNone(self.get(SharedAnswers(self.redis, old), OTHER))
        self.assertIsNone(self.get(both, bytes(reversed(KEY))))
        self.redis.away = True
        self.assertIsNone(both.get(KEY))

    @given(
        st.binary(max_size=60)
        | st.sampled_from([None, 7, [b"x"], FORMAT + b"p" + b"\x91" * 5000, FORMAT + b"d\x78\x9c", FORMAT])
    )
    def test_whatever_else_is_there(self, value: Any) -> None:
        self.sealed.put(KEY, entry())
        for name in (NAME, *self.redis.kept):
            self.redis.kept[name] = value
        self.assertIsNone(self.get(self.plain))
        self.assertIsNone(self.get(self.sealed))

    def test_another_releases(self) -> None:
        """Its entries may mean something else."""
        self.plain.put(KEY, entry())
        value = self.redis.kept[NAME]
        self.assertEqual(value[:5], FORMAT)
        self.redis.kept[NAME] = bytes((value[0], value[1] ^ 1)) + value[2:]
        self.assertIsNone(self.get(self.plain))

    def test_what_is_cut_off(self) -> None:
        """It is not there, wherever it is cut."""
        for answers, body in ((self.plain, b"b"), (self.sealed, b"b"), (self.plain, b"b" * 5000)):
            self.redis.kept.clear()
            answers.put(KEY, entry(body))
            ((name, whole),) = self.redis.kept.items()
            for length in range(len(whole)):
                self.redis.kept[name] = whole[:length]
                self.assertIsNone(self.get(answers), (answers, length))

    @given(st.integers(0, 10**6), st.integers(1, 255))
    def test_what_is_damaged(self, place: int, bits: int) -> None:
        """Sealed, it is not there; in the open it is nothing that cannot be read."""
        for answers in (self.plain, self.sealed):
            self.redis.kept.clear()
            answers.put(KEY, entry())
            ((name, whole),) = self.redis.kept.items()
            value = bytearray(whole)
            value[place % len(value)] ^= bits
            self.redis.kept[name] = bytes(value)
            found = self.get(answers)
            self.assertTrue(found is None or (answers is self.plain and isinstance(found, Entry)))
