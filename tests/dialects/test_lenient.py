"""JSON of others, read as far as it goes."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import lenient


class Lenient(SynchronousTestCase):
    def test_nothing_raises(self) -> None:
        """What is no JSON, or no number any float can be, is nothing."""
        for data in (b"", b"{", b"\xff", b'"\xff"', b"1e999", b"[" * 100_000):
            self.assertIsNone(lenient.decode(data), data[:10])
        self.assertEqual(lenient.decode(msgspec.Raw(b'{"a":1}')), {"a": 1})

    def test_arguments(self) -> None:
        """They are complete when they are JSON, and an object goes on byte for byte."""
        self.assertTrue(lenient.is_json('{"a": 1}'))
        self.assertFalse(lenient.is_json('{"a": '))
        self.assertEqual(lenient.raw_object('{ "a":1.0}'), msgspec.Raw(b'{ "a":1.0}'))
        for text in ("", "[]", "{", "\ud800"):
            self.assertIsNone(lenient.raw_object(text), repr(text))

    def test_fields(self) -> None:
        """A text that is none is empty, a count that cannot be believed is 0."""
        self.assertEqual([lenient.text(table, "a") for table in ({"a": "x"}, {"a": 1}, {}, None, [])], ["x"] + [""] * 4)
        tables = ({"a": 3}, {"a": 3.9}, {"a": -1}, {"a": 10**10}, {"a": True}, {"a": "3"}, {}, None)
        self.assertEqual([lenient.count(table, "a") for table in tables], [3, 3, 0, 0, 0, 0, 0, 0])
