"""Lists of words: whole ones, whatever their case and the white space in them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import words
from llmedge.guards.words import Words, WordsSettings
from tests.folders import new_folder


class Lists(SynchronousTestCase):
    def found(self, detector: Words, text: str) -> list[str]:
        return [text[each.start : each.end] for each in detector.find(text)]

    def test_whole_words(self) -> None:
        detector = Words(["heron", "blue heron", "acme", "Acme Corp"])
        text = "A Blue\nHERON, herons, acme corp, acme corporate, heron."
        self.assertEqual(self.found(detector, text), ["Blue\nHERON", "acme corp", "acme", "heron"])
        self.assertEqual(self.found(Words(["heron"], whole=False), "herons"), ["heron"])
        self.assertEqual(self.found(Words(["heron"], ignore_case=False), "Heron heron"), ["heron"])
        self.assertEqual(self.found(Words(["C++", "a.b", "(x)"]), "C++ a.b axb (x)"), ["C++", "a.b", "(x)"])

    def test_held(self) -> None:
        """Of a stream what a word may begin with."""
        detector = Words(["heron", "blue heron"])
        held = [("said", 0), ("a blu", 3), ("a blue ", 5), ("a blue whale", 0), ("the heron", 5), ("the heron ", 0)]
        self.assertEqual([detector.growing(text) for text, _ in held], [size for _, size in held])

    def test_many(self) -> None:
        """Thousands cost a text of none of them little more than a few: they are one tree."""
        detector = Words([f"word{number}x" for number in range(5000)])
        self.assertEqual(self.found(detector, "word word17x word17"), ["word17x"])

    def test_from_a_file(self) -> None:
        path = new_folder() / "words.txt"
        path.write_text("# ours\nblue heron\n\nacme\n", "utf-8")
        detector = words.TYPE.make(WordsSettings(file=str(path), words=("falcon",)), None)
        self.assertEqual(self.found(detector, "acme falcon ours"), ["acme", "falcon"])

    def test_told(self) -> None:
        for settings, option, said in (
            (WordsSettings(), "words", "are needed"),
            (WordsSettings(words=(" ",)), "words", "are needed"),
            (WordsSettings(file="/nowhere/words.txt"), "file", "cannot be read"),
            (WordsSettings(words=("x" * 201,)), "words", "of 200 characters"),
            (WordsSettings(words=("x",), kind="a-b"), "kind", "capitals"),
        ):
            problems = list(words.TYPE.problems(settings))
            self.assertEqual([name for name, _ in problems], [option])
            self.assertIn(said, problems[0][1])
        self.assertEqual(list(words.TYPE.problems(WordsSettings(words=("x",)))), [])
