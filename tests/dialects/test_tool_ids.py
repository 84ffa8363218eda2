"""Ids that hold a call's signature."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.tool_ids import signed_id, unsigned_id
from tests.effort import examples

_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
_WORDS = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)


class SignedIdTests(SynchronousTestCase):
    @settings(max_examples=examples(100), deadline=None)
    @given(_WORDS | _TEXTS | _WORDS.map(lambda word: signed_id(word, "inner")), _TEXTS.filter(bool))
    def test_there_and_back(self, identifier: str, signature: str) -> None:
        """Any id and any signature survive, in the alphabet that every vendor and client takes."""
        signed = signed_id(identifier, signature)
        self.assertRegex(signed, r"\A[a-zA-Z0-9_-]+\Z")
        self.assertEqual(unsigned_id(signed), (identifier, signature))

    @settings(max_examples=examples(100), deadline=None)
    @given(_WORDS, _TEXTS.filter(bool))
    def test_an_id_can_still_be_read(self, identifier: str, signature: str) -> None:
        """What is a word begins its signed id."""
        self.assertTrue(signed_id(identifier, signature).startswith(identifier))

    def test_no_signature(self) -> None:
        """An id stays what it is."""
        for identifier in ("toolu_01", "call:1", ""):
            self.assertEqual(signed_id(identifier, ""), identifier)

    def test_foreign_ids(self) -> None:
        """Whatever looks like a signed id but is none is somebody's own id."""
        signed = signed_id("call_1", "c2ln")
        odd = signed_id("call:1", "c2ln")
        for identifier in (
            "toolu_01",
            "call:1",
            "",
            signed[:-1],
            f"{signed}=",
            f"{signed}x",
            f"{signed}!",
            f"{odd}A",
            odd.removesuffix(odd[-6:]),
            "_llmedge-signed_",
            "a_llmedge-signed_",
            "a_llmedge-signed_gICA",
            "_llmedge-signed_OTphYg",
        ):
            with self.subTest(identifier):
                self.assertEqual(unsigned_id(identifier), (identifier, ""))
