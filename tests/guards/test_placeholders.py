"""Placeholders: the same value the same one, and what they stand for, exactly, wherever a stream is split."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.pii import Pii
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.redaction import Redactor, replaced
from tests.effort import so_many
from tests.guards.test_redaction import pieces

FORGED = (
    "<EMAIL_1>",
    "<EMAIL_2>",
    "<KEY_1>",
    "<EMAIL_01>",
    "<email_1>",
    "<EMAIL_1",
    "EMAIL_1>",
    "<<EMAIL_1>>",
    "<A_9>",
)
SAID = ("anna@b.example", "bob@c.example", "192.0.2.10", "and", "a < b", "<p>", "\n", "<EMAIL_", "1>", *FORGED)


class Restored(SynchronousTestCase):
    def test_numbers(self) -> None:
        """By kind, in the order in which values are first seen; a value keeps its own."""
        placeholders = Placeholders()
        self.assertFalse(placeholders)
        said = [placeholders.put(kind, value) for kind, value in (("EMAIL", "a"), ("KEY", "a"), ("EMAIL", "b"))]
        self.assertEqual(said, ["<EMAIL_1>", "<KEY_1>", "<EMAIL_2>"])
        self.assertEqual(placeholders.put("EMAIL", "a"), "<EMAIL_1>")
        self.assertTrue(placeholders)

    @settings(max_examples=so_many(200, quick=40, soak=5000), deadline=None)
    @given(st.integers(0, 2**32))
    def test_there_and_back(self, seed: int) -> None:
        """What a client says, forged placeholders and all, comes back as it was; no value of it goes out."""
        chance = random.Random(seed)
        text = chance.choice([" ", ""]).join(chance.choices(SAID, k=chance.randint(1, 12)))
        placeholders = Placeholders()
        escaped = placeholders.escaped(text)
        out = replaced(escaped, Pii().find(escaped), placeholders.put)
        self.assertEqual(Pii().find(out), [], out)
        self.assertEqual(placeholders.restored(out), text)
        redactor = Redactor(Pii(), placeholders.put)
        streamed = "".join([*(redactor.feed(each) for each in pieces(escaped, chance)), redactor.end()])
        self.assertEqual(streamed, out)
        restorer = placeholders.restorer()
        self.assertEqual("".join([*(restorer.feed(each) for each in pieces(out, chance)), restorer.end()]), text)

    def test_forged(self) -> None:
        """A placeholder that the client wrote is never what another of its texts stands for."""
        placeholders = Placeholders()
        self.assertEqual(placeholders.escaped("<EMAIL_1>"), "<EMAIL_1>")
        name = placeholders.put("EMAIL", "anna@b.example")
        self.assertNotEqual(name, placeholders.escaped("<EMAIL_1>"))
        self.assertEqual(placeholders.restored(placeholders.escaped("<EMAIL_1>") + name), "<EMAIL_1>anna@b.example")

    def test_unknown_ones_stay(self) -> None:
        """What the vendor makes up is none of ours; neither is a value looked at again."""
        placeholders = Placeholders()
        name = placeholders.put("KEY", "<EMAIL_7>")
        placeholders.put("EMAIL", "anna@b.example")
        self.assertEqual(placeholders.restored(f"<EMAIL_2> {name} <b>"), "<EMAIL_2> <EMAIL_7> <b>")

    def test_little_is_held(self) -> None:
        """One placeholder that is not over, at most: 40 characters."""
        restorer = Placeholders().restorer()
        for said, gone in (("a <", "a "), ("b> x", "<b> x"), ("<EMAIL_", ""), ("1", ""), (" no", "<EMAIL_1 no")):
            self.assertEqual(restorer.feed(said), gone)
        self.assertEqual(restorer.feed("<" + "A" * 60), "<" + "A" * 60)
        self.assertEqual(restorer.feed("<EMA") + restorer.end(), "<EMA")
