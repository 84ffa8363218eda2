"""``python -m benchmarks.walk``: through how many files and functions of ours one request goes.

What a reader has to follow, counted: calls into the package on a warm connection, distinct functions and files, and
moves from one file to another.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import llmedge
from benchmarks.calls import PIECES, Bench, Vendor, requests

SOURCE = str(Path(llmedge.__file__).parent)


class Walk:
    """Counts while ``work`` runs."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.calls = self.moves = 0
        self.functions: set[tuple[str, str, int]] = set()
        self.files: dict[str, int] = {}
        self._at = ""
        sys.setprofile(self._event)
        try:
            work()
        finally:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, arg: object) -> None:
        name = frame.f_code.co_filename
        if event not in ("call", "return") or not name.startswith(SOURCE):
            return
        if event == "call":
            self.calls += 1
            self.functions.add((name, frame.f_code.co_qualname, frame.f_code.co_firstlineno))
            self.files[name] = self.files.get(name, 0) + 1
            if name != self._at:
                self.moves += bool(self._at)
                self._at = name


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        print(f"{'':12}{'calls':>7}{'functions':>11}{'files':>7}{'moves':>7}")
        for kind, data in requests().items():
            bench.run(data, 60)
            _show(kind, Walk(partial(bench.run, data, 1)))
        _show("event", _event(bench))
    return 0


def _event(bench: Bench) -> Walk:
    """One event in the middle of a stream."""
    bench.wire.send(requests()["drip"])
    vendor, _ = Vendor.asked.pop()
    for piece in PIECES[:20]:
        vendor.protocol.dataReceived(piece)
    return Walk(partial(vendor.protocol.dataReceived, PIECES[20]))


def _show(kind: str, walk: Walk) -> None:
    print(f"{kind:12}{walk.calls:>7}{len(walk.functions):>11}{len(walk.files):>7}{walk.moves:>7}")
    if "--files" in sys.argv:
        for name in sorted(walk.files):
            print("   ", name[len(SOURCE) + 1 :], walk.files[name])


if __name__ == "__main__":
    sys.exit(main())
