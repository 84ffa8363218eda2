"""Keys that llmedge makes, and what is kept of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.identity.secrets import LENGTH, Pepper, is_ours, new


class Secrets(SynchronousTestCase):
    def test_form(self) -> None:
        keys = {new() for _ in range(200)}
        self.assertEqual(len(keys), 200)
        for each in keys:
            self.assertRegex(each, r"^sk-le-[A-Za-z0-9_-]{49}$")
            self.assertTrue(is_ours(each.encode()))

    def test_a_typing_mistake_shows(self) -> None:
        """Any one character, one left out, one too many, two swapped."""
        key = new().encode()
        for place in range(LENGTH):
            other = b"x" if key[place : place + 1] != b"x" else b"y"
            self.assertFalse(is_ours(key[:place] + other + key[place + 1 :]), place)
            self.assertFalse(is_ours(key[:place] + key[place + 1 :]))
            self.assertFalse(is_ours(key[:place] + other + key[place:]))

    def test_what_is_kept_is_of_no_use_without_the_pepper(self) -> None:
        key = new().encode()
        one, other = Pepper.of("p" * 20), Pepper.of("q" * 20)
        self.assertEqual(one.digest(key), Pepper.of("p" * 20).digest(key))
        self.assertNotEqual(one.digest(key), other.digest(key))
        self.assertNotEqual(one.id, other.id)
        self.assertNotIn("p" * 20, repr(one))
