"""The spool against a list, whatever is written, read, shipped, killed or torn, in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from llmedge.store import spool as module
from llmedge.store.spool import Position, Spool, SpoolError
from tests.effort import examples

LIMIT = 4_000
LINES = st.lists(st.binary(max_size=120).filter(lambda line: b"\n" not in line), max_size=8)


class Machine(RuleBasedStateMachine):
    """``expected``: what is on the disk and not shipped; ``position``: up to where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="llmedge-spool-"))
        self.patched = ExitStack()
        self.patched.enter_context(mock.patch.object(module, "SEGMENT", 400))
        for name in ("fsync", "fdatasync"):  # that they are asked for is another test's; here they only take time
            self.patched.enter_context(mock.patch.object(module.os, name))
        self.expected: list[bytes] = []
        self.position = Position(0, 0)

    def teardown(self) -> None:
        self.spool.close()
        self.patched.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.spool = Spool(self.folder, LIMIT)
        self.spool.open()

    @rule(lines=LINES)
    def write(self, lines: list[bytes]) -> None:
        """All of it, or, where it is full, nothing."""
        try:
            self.spool.append(lines)
        except SpoolError:
            assert self.spool.size + sum(len(line) + 10 for line in lines) > LIMIT
        else:
            self.expected += lines

    @rule(most=st.integers(1, 9), kept=st.booleans())
    def ship(self, most: int, kept: bool) -> None:
        """What comes next; where the database did not keep it, it comes again."""
        read = self.spool.read(self.position, most)
        assert read.lines == self.expected[: len(read.lines)]
        assert not read.lost
        assert read.lines or not self.expected
        if kept:
            del self.expected[: len(read.lines)]
            self.position = read.after
            self.spool.forget(self.position)

    @rule(torn=st.binary(max_size=60), data=st.data())
    def kill(self, torn: bytes, data: Any) -> None:
        """The process is gone in the middle of a write: some of a line is behind those that are whole."""
        line = b"%08x %b\n" % (module.crc32(torn), torn.replace(b"\n", b""))
        number = self.spool.written.segment
        self.spool.close()
        with (self.folder / f"{number:010}.spool").open("ab") as file:
            file.write(line[: data.draw(st.integers(0, len(line) - 1))])
        self.begin()

    @invariant()
    def bounded(self) -> None:
        """What is shipped does not stay: the files hold no more than what is not, and one more file."""
        if hasattr(self, "spool"):
            shipped = [path for path in self.folder.glob("*.spool") if int(path.stem) < self.position.segment]
            assert not shipped


class SpoolStates(SynchronousTestCase):
    def test_whatever_happens(self) -> None:
        run_state_machine_as_test(
            Machine, settings=settings(max_examples=examples(30), stateful_step_count=40, deadline=None)
        )
