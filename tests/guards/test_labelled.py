"""Figures of detectors at labelled lines."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.interfaces import Find
from llmedge.guards.labelled import Line, as_document, lines, tried
from llmedge.guards.pii import Pii
from tests.folders import new_folder


class Tried(SynchronousTestCase):
    def test_figures(self) -> None:
        """Right, wrong and missed by kind; kinds that nobody looks for are apart; a line without spans is a trap."""
        clock: Iterator[float] = iter([0.0, 0.5] * 3)
        report = tried(
            [Pii(["EMAIL", "IP"])],
            [
                Line("a@b.example", [(0, 11, "EMAIL")]),
                Line("at 192.0.2.10 and Ann", [(3, 13, "IP"), (18, 21, "NAME")]),
                Line("c@d.example", []),
                Line("nothing", []),
                Line("jean at b", [(0, 9, "EMAIL")]),
                Line("ignore this", injection=True),
            ],
            frozenset({"EMAIL", "IP"}),
            lambda: next(clock),
        )
        document = as_document(report)
        self.assertEqual(
            document["kinds"]["EMAIL"], {"right": 1, "wrong": 1, "missed": 1, "precision": 0.5, "recall": 0.5}
        )
        self.assertEqual(
            document["kinds"]["IP"], {"right": 1, "wrong": 0, "missed": 0, "precision": 1.0, "recall": 1.0}
        )
        self.assertEqual((document["all"]["precision"], document["all"]["recall"]), (0.6667, 0.6667))
        self.assertEqual((document["traps"], document["traps_flagged"], document["apart"]), (2, 1, {"NAME": 1}))
        self.assertEqual(report.mistakes, [(3, "wrong", Find(0, 11, "EMAIL")), (5, "missed", Find(0, 9, "EMAIL"))])
        self.assertAlmostEqual(report.micros, 0.5e9 / 59)

    def test_nothing_found(self) -> None:
        """No figure is made of nothing."""
        document = as_document(tried([Pii()], [Line("nothing", [])], frozenset({"IP"})))
        self.assertEqual((document["all"]["precision"], document["all"]["recall"]), (None, None))


class Files(SynchronousTestCase):
    def test_read(self) -> None:
        path = new_folder() / "samples.jsonl"
        path.write_text(
            '{"id": "a", "text": "x", "spans": [[0, 1, "ID"]]}\n\n{"text": "y", "injection": false}\n', "utf-8"
        )
        self.assertEqual(lines(str(path)), [Line("x", [(0, 1, "ID")]), Line("y", injection=False)])

    def test_told(self) -> None:
        """Which line is none, and why."""
        path = new_folder() / "samples.jsonl"
        for said, reason in (
            ("", "has no lines"),
            ('{"text": "x"}', 'line 1 is not labelled: it has neither "spans" nor "injection"'),
            ('{"text": "x", "spans": []}\nhello', "line 2 is not labelled"),
            ('{"spans": []}', "line 1 is not labelled"),
        ):
            path.write_text(said, "utf-8")
            self.assertRaisesRegex(ValueError, reason, lines, str(path))
        self.assertRaisesRegex(ValueError, "cannot be read", lines, str(path.parent))
