"""What ``make test`` shows while it runs."""

from __future__ import annotations

import contextlib
import io
import itertools

from twisted.trial.unittest import SynchronousTestCase

from tests import run


class Follow(SynchronousTestCase):
    def shown(self, *lines: str) -> list[str]:
        """What is shown of a run whose every line takes three seconds."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            run.follow((f"{line}\n" for line in lines), itertools.count(0, 3).__next__)
        return out.getvalue().splitlines()

    def test_says_how_far_it_is(self) -> None:
        """A line now and then, not one for each test that passed."""
        lines = self.shown("Running 40 tests.", *(f"tests.a.B.test_{number} ... [OK]" for number in range(40)))
        self.assertEqual(lines[:2], ["Running 40 tests.", "  2 of 40 tests, 6 s"])
        self.assertIn(len(lines), range(15, 25))

    def test_shows_what_did_not_pass_at_once(self) -> None:
        lines = ("tests.a.B.test_a ... [FAILURE]", "tests.a.B.test_b ... [OK]", "tests.a.B.test_c ... [SKIPPED]")
        self.assertEqual(self.shown(*lines), [lines[0], lines[2]])

    def test_shows_the_errors_in_full(self) -> None:
        lines = ("=====", "[FAIL]", "tests.a.B.test_b ... [OK]", "-----", "Ran 1 tests in 1.0s")
        self.assertEqual(self.shown(*lines), [*lines])


class Judge(SynchronousTestCase):
    def test_true_counts(self) -> None:
        for summary, code, expected in (
            ("Ran 9 tests in 1.0s\n\nPASSED (successes=9)\n", 0, (9, 0, 0, "")),
            ("Ran 9 tests in 1.0s\n\nPASSED (skips=2, expectedFailures=1, successes=6)\n", 0, (7, 0, 2, "")),
            ("Ran 9 tests in 1.0s\n\nFAILED (failures=1, errors=2, successes=6)\n", 1, (6, 3, 0, "")),
        ):
            self.assertEqual(run.judge(f"said by a test: failures=7\n{summary}", code, False), expected)

    def test_what_did_not_run_has_not_passed(self) -> None:
        """Trial calls a run good whose tests were never run, or which it did not finish."""
        for tail, code in (
            ("\nRan 9 tests in 1.0s\n\nPASSED (successes=8)\n", 0),
            ("tests.a.B.test_a ... ", 0),
            ("", 1),
        ):
            *_, failed, _, problem = run.judge(tail, code, False)
            self.assertEqual((failed, problem), (1, "the test runner did not finish"))

    def test_nothing_is_skipped_in_ci(self) -> None:
        tail = "\nRan 2 tests in 1.0s\n\nPASSED (skips=1, successes=1)\n"
        self.assertEqual(run.judge(tail, 0, True), (1, 1, 1, "nothing may be skipped in CI"))
