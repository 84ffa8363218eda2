"""Finds in pieces: what goes on of a stream is what redacting the whole gives, wherever it is split."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.cuts import unfinished
from llmedge.guards.interfaces import Detector, Find
from llmedge.guards.patterns import read
from llmedge.guards.pii import Pii
from llmedge.guards.redaction import SMALL, WINDOW, Redactor, looked_at, mask, replaced
from llmedge.guards.regex import Regex
from llmedge.guards.secrets import Secrets
from llmedge.guards.words import Words
from tests.effort import so_many
from tests.guards.sentences import sentences

CHARACTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PATTERNS = (r"PRJ-\d+", r"\b[A-Z]{2,4}\d{2,}\b", r"(?i)codename\s+\w+", r"x[^\n]*?y", r"\d+(?=%)", r"end$")
DETECTORS: tuple[Detector, ...] = (
    Pii(),
    Secrets(),
    Regex([read(each) for each in PATTERNS], "MATCH"),
    Words(["blue heron", "heron", "Projekt Morgenröte", "acme", "acme corporation", "秘密計画"]),
    Words(["ab", "bcd", "abcde"], whole=False),
)
NASTY = (
    "password=",
    "The password is hunter2-Correct9",
    "scheme://user:",
    "postgres://app:Zk7#pQ2vLm9x@db.internal:5432/prod",
    "4111 1111 1111 1111 04/29",
    "4111 1111 1111 1111 1",
    "DE89 3704 0044 0532 0130 00",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "see 1.2.3.4 and 192.0.2.10.",
    "联系anna@example.com或者4111111111111111谢谢",
    "token=abc联系d1e2f3a4b5c6谢谢",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG 12 34",
    " ".join(map(str, range(100, 160))),
    "+49 89 12 34 56 78 90 12 34 56",
    "\u00a0+33 6 12 34 56 78\u202f",
    "Tel. 030 / 12 34 567 \u2013 8",
    "PRJ-1 PRJ-12 PRJ- codename   Falcon99 xay x----- 15% end",
    "acme corporation, acme corp, blue\nheron, Projekt Morgenröte 秘密計画",
    "abcdeabcdbcdab",
    '{"password": "qM8!tt2pLw", "email": "a@b.example"}',
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "İİİ password: sEcr3t!x İ",
    "\ud800 half a character 0171 2345678",
)


def made(chance: random.Random) -> str:
    """Something long: a token, a private key, digits, one word without an end."""

    def some(size: int, of: str = CHARACTERS) -> str:
        return "".join(chance.choices(of, k=size))

    kind = chance.randrange(6)
    if kind == 0:
        return f"ey{'J'}{some(200)}.ey{'J'}{some(chance.choice([100, 2500, 3500]))}.{some(43)}"
    if kind == 1:
        lines = "\n".join(some(64) for _ in range(chance.choice([1, 20, 120, 140])))
        end = chance.choice(["\n-----END RSA PRIVATE KEY-----", "\nand more prose 12"])
        return f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{lines}{end}"
    if kind == 2:
        return " ".join(some(chance.randint(1, 6), "0123456789") for _ in range(chance.randrange(60)))
    if kind == 3:
        return some(chance.choice([300, 5000]))
    if kind == 4:
        return some(chance.randrange(60), "0123456789 +-./()@:=ABCx")
    return some(chance.randrange(100), "pasword=: is\"'1x\n")


def pieces(text: str, chance: random.Random) -> list[str]:
    most = chance.choice([1, 3, 8, 30, 300])
    found, at = [], 0
    while at < len(text):
        size = chance.randint(1, most)
        found.append(text[at : at + size])
        at += size
    return found


def redacted(detector: Detector, parts: Sequence[str]) -> str:
    redactor = Redactor(detector, mask)
    return "".join([*(redactor.feed(each) for each in parts), redactor.end()])


class Streams(SynchronousTestCase):
    def same(self, text: str, chance: random.Random) -> None:
        for detector in DETECTORS:
            whole = replaced(text, detector.find(text), mask)
            self.assertEqual(redacted(detector, pieces(text, chance)), whole, (detector, text))
            in_windows = [find for window in looked_at(detector, text) for find in window]
            self.assertEqual(replaced(text, in_windows, mask), whole, (detector, text))

    @settings(max_examples=so_many(150, quick=30, soak=2000), deadline=None)
    @given(st.integers(0, 2**32))
    def test_random_splits(self, seed: int) -> None:
        """Of sentences and nasty texts, one behind another, by all detectors: five splits an example."""
        chance = random.Random(seed)
        said = [*(each.text for each in sentences()), *NASTY]
        parts = [made(chance) if chance.random() < 0.25 else chance.choice(said) for _ in range(chance.randint(1, 6))]
        self.same(chance.choice([" ", "\n", "", ". ", "\u00a0"]).join(parts), chance)

    def test_each_nasty_text(self) -> None:
        """Character by character, and in two pieces wherever they part."""
        for text in NASTY:
            for detector in DETECTORS:
                whole = replaced(text, detector.find(text), mask)
                self.assertEqual(redacted(detector, list(text)), whole, text)
                for at in range(len(text)):
                    self.assertEqual(redacted(detector, [text[:at], text[at:]]), whole, (text, at))

    def test_sentences_in_pieces(self) -> None:
        """What is to be found in a sentence is found in its pieces."""
        for sentence in sentences():
            wanted = replaced(sentence.text, [each for each in sentence.finds if each.kind != "KEY"], mask)
            self.assertEqual(redacted(Pii(), list(sentence.text)), wanted)

    def test_little_is_held(self) -> None:
        """Of plain text a word, as it is written; at the median no more than 8 characters."""
        text = (
            "Please look at the report about how the project was organised in Paris in 2023, and what everyone thought "
            "of it. Der Bericht wurde gestern fertig; we then moved on to the next item (see below). "
        ) * 5
        for detector in DETECTORS[:2]:
            redactor = Redactor(detector, mask)
            held = []
            for piece in pieces(text, random.Random(1)):
                redactor.feed(piece)
                held.append(redactor.held)
            self.assertLessEqual(sorted(held)[len(held) // 2], 8)

    def test_bounded(self) -> None:
        """Whatever comes, no more is held than the detector's reach and the piece that came."""
        for text in (
            "A" * 40_000,
            "7 " * 20_000,
            "a@" * 20_000,
            f"-----BEGIN {'PRIVATE'} KEY-----\n" + "A1b2 " * 8_000,
        ):
            for detector in DETECTORS:
                redactor = Redactor(detector, mask)
                for at in range(0, len(text), 500):
                    redactor.feed(text[at : at + 500])
                    self.assertLessEqual(redactor.held, 2 * detector.reach + 500)

    def test_counted(self) -> None:
        redactor = Redactor(Pii(), mask)
        said = redactor.feed("a@b.example, c@d.exam") + redactor.feed("ple 192.0.2.10") + redactor.end()
        self.assertEqual((said, redactor.finds), ("[EMAIL], [EMAIL] [IP]", {"EMAIL": 2, "IP": 1}))


class Windows(SynchronousTestCase):
    def test_over_the_edge(self) -> None:
        """A find is found wherever an edge of a window falls in it."""
        find = "anna.schmidt@example.com"
        for at in range(WINDOW - len(find) - 1, WINDOW + 2):
            text = "word " * (at // 5) + " " * (at % 5) + find + " and more" * 200
            found = [each for window in looked_at(Pii(), text) for each in window]
            self.assertEqual([text[each.start : each.end] for each in found], [find])

    def test_one_a_step(self) -> None:
        """No step looks at more than a window and what the last one left, or a small one where there may be finds."""
        glanced: list[int] = []
        seen: list[int] = []

        class Seen(Pii):
            def quiet(self, text: str) -> bool:
                glanced.append(len(text))
                return super().quiet(text)

            def find(self, text: str, start: int = 0) -> list[Find]:
                seen.append(len(text))
                return []

        list(looked_at(Seen(), "some words 12345 " * 5000))
        self.assertGreater(len(glanced), 17 * 5000 // WINDOW - 1)
        self.assertLess(max(glanced), WINDOW + Pii.reach + Pii.context)
        self.assertEqual(seen, [])
        list(looked_at(Seen(), "some words 1234567 " * 5000))
        self.assertGreater(len(seen), 19 * 5000 // SMALL - 1)
        self.assertLess(max(seen), SMALL + Pii.reach + Pii.context)

    def test_quiet(self) -> None:
        """Where one says at a glance that nothing is there, nothing is found, whatever of it was seen before."""
        quiet = 0
        for detector in (Pii(), Secrets()):
            for text in (*NASTY, *(each.text for each in sentences())):
                for end in range(len(text), 0, -9):
                    if detector.quiet(text[:end]):
                        quiet += 1
                        self.assertEqual(
                            [detector.find(text[:end], at) for at in range(0, end, 9)], [[]] * -(-end // 9)
                        )
        self.assertGreater(quiet, 1000)


class Cuts(SynchronousTestCase):
    def test_what_may_go_on(self) -> None:
        """A word that is not over; groups of a number; nothing else."""
        for text, held in (
            ("all is said. ", ""),
            ("all is sai", "sai"),
            ("in 2023 we", "we"),
            ("in 2023 ", "2023 "),
            ("Tel. 030 90", "030 90"),
            ("IBAN DE89 3704 ", "DE89 3704 "),
            ("NASA ", "NASA "),
            ("THE NEXT ONE", "ONE"),
            ("0001 2345 MTLC AST0", "0001 2345 MTLC AST0"),
            ("089 / 12", "089 / 12"),
            ("联系", ""),
            ("联系an", "an"),
        ):
            size = unfinished(text, 4096)
            self.assertEqual(text[len(text) - size :], held, text)
