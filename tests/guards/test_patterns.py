"""Operators' patterns: what would hold up everything is refused with a reason; what is not is quick, whatever comes."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import regex
from llmedge.guards.patterns import LONGEST, bounded, read
from llmedge.guards.regex import Regex, RegexSettings


class Refused(SynchronousTestCase):
    def test_reasons(self) -> None:
        several, behind = "several ways", "behind one another"
        for source, reason in (
            (r"(a+)+$", several),
            (r"(a*)*b", several),
            (r"(a|a)*b", several),
            (r"(a|aa)+b", several),
            (r"^(\w+\s?)*$", several),
            (r"(?:a?){30}a{30}", several),
            (r"(a{1,5}){1,5}", several),
            (r"((a{1,3}){1,3}){1,3}b", several),
            (r"(?:ab?b?)+c", several),
            (r"(?:\w{1,3}\d{0,3},){1,8}x", several),
            (r"(?:(?:a|b)*)+x", several),
            (r"(a*b*)*c", several),
            (r"(x+x+)+y", behind),
            (r".*foo.*bar", behind),
            (r"\w+\d+x", behind),
            (r"\d+\s*\d+", behind),
            (r"\w+(?=a+a{2})b", behind),
            (r"a?a?a?a?a?a?a?a?a?a?aaaaaaaaaa", behind),
            (r"(\w)\1", "a group of its own"),
            (r"(?P<a>x)(?(a)y|z)", "a group of its own"),
            (r"x*", "matches where nothing is"),
            (r"(?=abc)", "matches where nothing is"),
            (r"[", "no regular expression"),
            (r"a{2000}", f"more than {LONGEST} characters"),
            (r"(?<=" + "a" * 91 + ")b", "looks back"),
            ("(?x) a b", "verbose"),
        ):
            error = self.assertRaises(ValueError, read, source)
            self.assertIn(reason, str(error), source)

    def test_told_by_check(self) -> None:
        """``--check`` names the pattern and the reason, and a name that is none."""
        said = regex.TYPE.problems(RegexSettings(patterns=(r"(a+)+", "fine"), kind="kind"))
        self.assertEqual([option for option, _ in said], ["kind", "patterns"])
        self.assertIn("(a+)+", said[1][1])
        self.assertEqual(list(regex.TYPE.problems(RegexSettings())), [("patterns", "are needed")])


class Taken(SynchronousTestCase):
    def test_repeats_get_an_end(self) -> None:
        for source, found in (
            (r"a*b+c{2,}d?", "a{0,128}b{1,128}c{2,128}d?"),
            (r"a*?b++c{3,4}", "a{0,128}?b{1,128}+c{3,4}"),
            (r"(ab)+[*+]\*\+(?:x)*", r"(ab){1,32}[*+]\*\+(?:x){0,32}"),
            (r"[]*]+[^]*]*a{,3}{", r"[]*]{1,128}[^]*]{0,128}a{,3}{"),
        ):
            self.assertEqual(bounded(source), found)
            re.compile(found)

    def test_what_people_write(self) -> None:
        for source, text, found in (
            (r"PRJ-\d+", "see PRJ-1234.", ["PRJ-1234"]),
            (r"(?:\d{1,3}\.){3}\d{1,3}", "at 10.0.0.1", ["10.0.0.1"]),
            (r"\bACME-[A-Z]{2,4}-\d{4,6}\b", "ACME-XY-12345 xACME-XY-12345", ["ACME-XY-12345"]),
            (r"(?i)secret\s*:\s*\S+", "Secret : abc", ["Secret : abc"]),
            (r"(?:[a-z]{1,10} ){2,5}end", "to the end", ["to the end"]),
            (r"(?:\w++\.){1,5}com", "a.b.com", ["a.b.com"]),
            (r"(foo|bar|baz)\d*", "foo1 baz", ["foo1", "baz"]),
            (r"^Dear\b", "Dear Dear", ["Dear"]),
            (r"x(?!y)", "xy x", ["x"]),
            (r"(?<=id )\w+", "id 4711", ["4711"]),
        ):
            detector = Regex([read(source)], "MATCH")
            self.assertEqual([text[each.start : each.end] for each in detector.find(text)], found, source)

    def test_several(self) -> None:
        """What begins first, then what is longer; and on from there."""
        detector = Regex([read("ab"), read("abc|bcd"), read("cd")], "MATCH")
        self.assertEqual([(each.start, each.end) for each in detector.find("abcd ab cd")], [(0, 3), (5, 7), (8, 10)])

    def test_held(self) -> None:
        """Of a stream no more than what may begin a match."""
        detector = Regex([read(r"PRJ-\d{1,4}")], "MATCH")
        held = [("no", 0), ("a P", 1), ("a Pa", 0), ("see PRJ-12", 6), ("see PRJ-1234, and so on", 0)]
        self.assertEqual([detector.growing(text) for text, _ in held], [size for _, size in held])
        self.assertLessEqual(Regex([read(r"\w+@corp")], "MATCH").growing("a" * 1000), 140)

    def test_case(self) -> None:
        self.assertEqual(len(Regex([read("abc", ignore_case=True)], "M").find("ABC abc")), 2)
        detector = Regex([read("(?i:é)+x")], "M")
        self.assertEqual(detector.growing("so É"), 1)
