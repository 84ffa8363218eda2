"""``python -m benchmarks.guard``: fails when a call takes more instructions than on record.

Instructions, counted by valgrind's callgrind, are the same on a busy machine and on an idle one; time is not. The
record is ``benchmarks/instructions.json``, by Python's minor version: whoever makes calls dearer on purpose changes it
in the same commit, for each version there (``--record`` writes that of the Python that runs it, and leaves the others
as they are). A version without a record is measured and passes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "benchmarks" / "instructions.json"
CALLS = 100
ALLOWED = 1.01
"""Of what is on record. The same code differs by 0.25 % at most from run to run, however busy the machine (the slower
it goes, the more often a second has passed for what is done once in one), and by 0.4 % from folder to folder."""
ALLOWED_ELSEWHERE = 1.10
"""The same by another build of that Python: compiled otherwise, the same code takes other instructions."""
BUILD = f"{platform.python_version()} {platform.python_compiler()}"


def measure() -> dict[str, int]:
    """Instructions for one call, by kind."""
    with tempfile.TemporaryDirectory(prefix="llmedge-guard-") as folder:
        # Where objects lie decides, too, and with it how long the tree's path is and what was compiled before.
        tree = Path(folder) / "tree"
        tree.symlink_to(ROOT)
        environ = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}",
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "none"),
            "PYTHONHASHSEED": "0",  # dicts in the same order each time
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        python = Path(sys.executable)
        if python.is_relative_to(ROOT):
            python = tree / python.relative_to(ROOT)
        out = Path(folder) / "callgrind.out"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        fixed = ["setarch", "--addr-no-randomize"] if shutil.which("setarch") else []
        command = [*fixed, *valgrind, str(python), "-m", "benchmarks.calls", f"--calls={CALLS}"]
        ran = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(ran.stderr)
        found: dict[str, int] = {}
        for path in Path(folder).glob("callgrind.out*"):
            text = path.read_text()
            kind = re.search(r"Trigger: .*?([a-z0-9]+)$", text, re.MULTILINE)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if kind and total and "Program termination" not in text:
                found[kind[1]] = int(total[1]) // CALLS
        return found


def least(times: int, known: dict[str, int] | None = None) -> dict[str, int]:
    """The least of so many measurements, and of what is ``known``: whatever comes by chance only adds."""
    found = [measure() for _ in range(times)] + ([known] if known else [])
    return {kind: min(each[kind] for each in found) for kind in found[0]}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    options.add_argument("--record", action="store_true", help="write the figures down instead of comparing them")
    arguments = options.parse_args()
    if shutil.which("valgrind") is None:
        print("The guard needs valgrind (Debian package valgrind).", file=sys.stderr)
        return 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    found = least(3 if arguments.record else 1)
    if arguments.record or version not in records:
        if arguments.record:
            records |= {version: {"build": BUILD, "calls": found}}
            RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
        print(f"instructions for a call, Python {version}: {found}")
        return 0
    recorded = records[version]
    allowed = ALLOWED if recorded["build"] == BUILD else ALLOWED_ELSEWHERE
    ratios = {kind: found[kind] / before for kind, before in recorded["calls"].items()}
    if max(ratios.values()) > allowed:  # or was it chance?
        found = least(2, found)
        ratios = {kind: found[kind] / before for kind, before in recorded["calls"].items()}
    for kind, ratio in ratios.items():
        print(f"{kind:12}{found[kind]:>10} instructions, {ratio - 1:+.2%} of what is on record")
    dearer = max(ratios.values()) > allowed
    if dearer:
        print(
            f"Calls have become dearer by more than {allowed - 1:.1%}. Find out why (python -m benchmarks.calls "
            "--profile), or if it is worth it: python -m benchmarks.guard --record, in the same commit.",
            file=sys.stderr,
        )
    return int(dearer)


if __name__ == "__main__":
    sys.exit(main())
