"""Runs tests under trial, says how far it is, and ends with the line ``N passed, N failed, N skipped`` of true counts.

``make test`` runs all of them, ``make quick`` (``--quick``) those that need no gateway's process and little patience,
``make soak`` (``--soak``) those whose effort can be raised (``tests/effort.py``), with all of it; or what is named.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
EVERY = 5.0
"""Seconds from one line that says how far it is to the next: the same on a terminal and in a log."""
TAKES = {"quick": "half a minute", "usual": "5 minutes", "soak": "5 minutes"}
"""How long it takes on two idle cores."""
FINISHED = re.compile(r"^(\S+) \.\.\. \[(.+)\]$")
FAILED = re.compile("ERROR|FAILURE|SUCCESS!")
REPEATED = 5
"""Failed tests that are run once more, each alone: a busy machine may have held one up. More have a fault."""


def modules(effort: str) -> Iterable[str]:
    """What to run: names of modules, those of e2e spread evenly among the others, which compute while e2e waits."""
    files = sorted(TESTS.rglob("test_*.py"))
    if effort == "soak":
        files = [path for path in files if "from tests.effort import" in path.read_text()]
    e2e, others = ([path for path in files if ("e2e" in path.parts) is so] for so in (True, False))
    kinds = [others] if effort == "quick" else [e2e, others]
    places = sorted((place / len(kind), path) for kind in kinds for place, path in enumerate(kind))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for _, path in places]


def workers(effort: str) -> int:
    """How many processes: twice as many as cores where half of the time is waiting (e2e)."""
    return min(8, (2 if effort == "usual" else 1) * (os.cpu_count() or 1))


def follow(output: Iterable[str], clock: Callable[[], float] = time.monotonic) -> tuple[str, list[str]]:
    """Print what trial says, but for the tests that passed: how many have ended is said now and then.

    :returns: the last of it, with the counts, and the names of the tests that failed.
    """
    tail, total, finished = "", "", 0
    failed: list[str] = []
    began = said = clock()
    summary = False  # errors in full, and the counts
    for line in output:
        tail = (tail + line)[-4000:]
        summary = summary or line.startswith(("=====", "-----"))
        ended = None if summary else FINISHED.match(line)
        if ended:
            finished += 1
        if ended and ended[2] == "OK":
            if (now := clock()) - said >= EVERY:
                said = now
                print(f"  {finished} of {total} tests, {now - began:.0f} s", flush=True)
            continue
        if ended and FAILED.search(ended[2]):
            failed.append(ended[1])
        if running := re.match(r"Running (\d+) tests", line):
            total = running[1]
        print(line, end="", flush=True)
    return tail, failed


def repeat(names: Sequence[str], alone: Callable[[str], tuple[int, str]]) -> int:
    """Run failed tests once more, each alone, and say so; how many fail again.

    :param alone: runs one, and returns trial's exit status and what it wrote.
    """
    if len(names) > REPEATED:
        print(f"{len(names)} tests failed; no more than {REPEATED} would be run again alone")
        return len(names)
    again = 0
    for name in names:
        code, output = alone(name)
        if passed := judge(output, code, False)[:2] == (1, 0):
            print(f"passed when run again alone: {name}", flush=True)
        else:
            print(f"{output}failed when run again alone, too: {name}", flush=True)
        again += not passed
    return again


def judge(tail: str, code: int, everything: bool) -> tuple[int, int, int, str]:
    """How many passed, failed and were skipped, and what is wrong with the run as such.

    :param tail: the end of trial's output.
    :param code: its exit status.
    :param everything: nothing may be skipped.
    """
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", tail.rpartition("\nRan ")[2])}
    ran = re.search(r"\nRan (\d+) tests", tail)
    failed = sum(counts.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    skipped = counts.get("skips", 0)
    passed = counts.get("successes", 0) + counts.get("expectedFailures", 0)
    problem = ""
    if ran is None or (code == 0 and passed + skipped != int(ran[1])):
        problem = "the test runner did not finish"
    elif skipped and everything:
        problem = "nothing may be skipped in CI"
    return passed, max(failed, int(code != 0 or bool(problem))), skipped, problem


def main() -> int:
    names = [name for name in sys.argv[1:] if not name.startswith("--")]
    effort = "quick" if "--quick" in sys.argv else "soak" if "--soak" in sys.argv else "usual"
    trial = [sys.executable, "-u", "-m", "twisted.trial", "--reporter=bwverbose"]
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LLMEDGE_EFFORT": effort}
    if not names:
        print(f"This takes about {TAKES[effort]} on two idle cores; here are {os.cpu_count()}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="llmedge-tests-") as folder:
        environ |= {"TMPDIR": folder, "HYPOTHESIS_STORAGE_DIRECTORY": f"{folder}/hypothesis"}

        def start(*arguments: str) -> subprocess.Popen[str]:
            return subprocess.Popen([*trial, *arguments], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)

        def alone(name: str) -> tuple[int, str]:
            process = start(name)
            output, _ = process.communicate()
            return process.returncode, output

        process = start("-j", str(workers(effort)), *(names or modules(effort)))
        assert process.stdout is not None
        tail, failing = follow(process.stdout)
        code = process.wait()
        passed, failed, skipped, problem = judge(tail, code, bool(os.environ.get("CI")))
        if failing and not problem:
            passed, failed = passed + len(failing), repeat(failing, alone)
            passed, code = passed - failed, code if failed else 0
    if problem:
        print(problem, flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return code or int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
