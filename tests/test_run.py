"""What ``make test`` shows while it runs."""

from __future__ import annotations

import contextlib
import io
import itertools

from twisted.trial.unittest import SynchronousTestCase

from tests import run
from tests.folders import new_folder


class Modules(SynchronousTestCase):
    def test_each_once(self) -> None:
        """Those of e2e are spread among the others, from the first to nearly the last, and are not in a quick run."""
        usual, quick = [*run.modules("usual")], [*run.modules("quick")]
        self.assertEqual(sorted({*usual}), sorted(usual))
        e2e = [place for place, name in enumerate(usual) if name.startswith("tests.e2e.")]
        apart = [after - before for before, after in itertools.pairwise([0, *e2e, len(usual)])]
        self.assertLess(max(apart), 2 * len(usual) / len(e2e))
        self.assertEqual({*usual} - {*quick}, {usual[place] for place in e2e})
        self.assertIn("tests.test_run", quick)

    def test_soak(self) -> None:
        """What tries harder, of e2e too."""
        soak = {*run.modules("soak")}
        self.assertLess({"tests.e2e.test_dying", "tests.pipeline.test_any_weather"}, soak)
        self.assertNotIn("tests.test_run", soak)


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

    def test_knows_what_failed(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            _, failed = run.follow(
                f"{line}\n"
                for line in (
                    "tests.a.B.test_a ... [FAILURE]",
                    "tests.a.B.test_b ... [OK]",
                    "tests.a.B.test_c ... [SKIPPED]",
                    "tests.a.B.test_d ... [ERROR][FAILURE]",
                    "tests.a.B.test_e ... [TODO]",
                    "tests.a.B.test_f ... [SUCCESS!?!]",
                    "tests.g ... [ERROR]",
                    "=====",
                    "tests.a.B.test_h ... [ERROR]",
                )
            )
        self.assertEqual(failed, ["tests.a.B.test_a", "tests.a.B.test_d", "tests.a.B.test_f", "tests.g"])


class Repeat(SynchronousTestCase):
    PASSED = (0, "a ... [OK]\n\nRan 1 tests in 1.0s\n\nPASSED (successes=1)\n")
    FAILED = (1, "a ... [ERROR]\n\nRan 1 tests in 1.0s\n\nFAILED (errors=1)\n")
    NOTHING = (0, "\nRan 0 tests in 1.0s\n\nPASSED\n")

    def repeated(self, *results: tuple[int, str]) -> tuple[int, str, list[str]]:
        """How many failed again, what was shown, and what was run, where each test then ends with a result."""
        asked: list[str] = []
        left = dict(zip("abcdefgh", results, strict=False))

        def alone(name: str) -> tuple[int, str]:
            asked.append(name)
            return left[name]

        with contextlib.redirect_stdout(io.StringIO()) as out:
            again = run.repeat([*left], alone)
        return again, out.getvalue(), asked

    def test_what_passes_then_has_passed(self) -> None:
        """Which is said; what fails again is shown in full, and so is what was not run."""
        again, shown, asked = self.repeated(self.PASSED, self.FAILED, self.NOTHING)
        self.assertEqual((again, asked), (2, ["a", "b", "c"]))
        self.assertIn("passed when run again alone: a\n", shown)
        self.assertIn("a ... [ERROR]", shown)
        for name in "bc":
            self.assertIn(f"failed when run again alone, too: {name}\n", shown)

    def test_five_and_no_more(self) -> None:
        """So many have a reason that they share."""
        self.assertEqual(self.repeated(*[self.PASSED] * 5)[::2], (0, [*"abcde"]))
        again, shown, asked = self.repeated(*[self.PASSED] * 6)
        self.assertEqual((again, asked), (6, []))
        self.assertIn("6 tests failed; no more than 5", shown)


class Whole(SynchronousTestCase):
    def test_a_flaky_test(self) -> None:
        """One that passes only alone, one that always fails: counts and exit status are those of the second try."""
        folder = new_folder()
        (folder / "flaky.py").write_text(
            "import pathlib\nfrom twisted.trial.unittest import TestCase\n"
            f"mark = pathlib.Path({str(folder / 'mark')!r})\n"
            "class T(TestCase):\n"
            "    def test_good(self): pass\n"
            "    def test_second(self):\n"
            "        seen = mark.exists()\n        mark.touch()\n        self.assertTrue(seen)\n"
            "class U(TestCase):\n    def test_bad(self): self.fail('always')\n"
        )
        self.patch(run, "ROOT", folder)
        for name, counts, status in (
            ("flaky.T", "2 passed, 0 failed, 0 skipped", 0),
            ("flaky", "2 passed, 1 failed, 0 skipped", 1),
        ):
            (folder / "mark").unlink(missing_ok=True)
            self.patch(run.sys, "argv", ["run.py", name])
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(bool(run.main()), bool(status))
            self.assertIn("passed when run again alone: flaky.T.test_second\n", out.getvalue())
            self.assertEqual(out.getvalue().splitlines()[-1], counts)


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
