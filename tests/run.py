"""Runs the whole suite under trial and ends with the line ``N passed, N failed, N skipped`` of true counts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    workers = str(min(4, os.cpu_count() or 1))
    command = [sys.executable, "-m", "twisted.trial", "-j", workers, "--reporter=text", *(sys.argv[1:] or ["tests"])]
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    tail = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        tail = (tail + line)[-4000:]
    code = process.wait()
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", tail.rpartition("\nRan ")[2])}
    ran = re.search(r"\nRan (\d+) tests", tail)
    failed = sum(counts.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    skipped = counts.get("skips", 0)
    passed = counts.get("successes", 0) + counts.get("expectedFailures", 0)
    if ran is None or (code == 0 and passed + skipped != int(ran[1])):
        print("the test runner did not finish", flush=True)
        code = code or 1
    if skipped and os.environ.get("CI"):
        print("nothing may be skipped in CI", flush=True)
        code = code or 1
    print(f"{passed} passed, {max(failed, int(code != 0))} failed, {skipped} skipped")
    return code


if __name__ == "__main__":
    sys.exit(main())
