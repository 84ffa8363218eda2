"""Rows on their way: what was written is read, once, whatever happened to the process."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from random import Random
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from llmedge.store import spool as module
from llmedge.store.spool import Position, Spool, SpoolError


class Spools(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.patch(module, "SEGMENT", 300)

    def spool(self, limit: int = 10**6) -> Spool:
        spool = Spool(self.folder, limit)
        spool.open()
        self.addCleanup(spool.close)
        return spool

    def everything(self, spool: Spool, most: int = 7) -> list[bytes]:
        lines, position = [], Position(0, 0)
        while (read := spool.read(position, most)).after != position:
            lines += read.lines
            position = read.after
        return lines

    def test_in_order(self) -> None:
        """Over several files and processes."""
        written = []
        for process in range(3):
            spool = self.spool()
            for number in range(20):
                lines = [b"%d %d %d" % (process, number, each) for each in range(number % 4)]
                spool.append(lines)
                written += lines
            spool.close()
        spool = self.spool()
        self.assertGreater(len(list(self.folder.glob("*.spool"))), 6)
        for most in (1, 3, 1000):
            self.assertEqual(self.everything(spool, most), written)

    def test_a_torn_line_never_counts(self) -> None:
        """Wherever the last process was stopped in the middle of a write."""
        spool = self.spool()
        spool.append([b"first"])
        spool.append([b"second"])
        path = self.folder / f"{spool.written.segment:010}.spool"
        spool.close()
        whole = path.read_bytes()
        first = len(b"00000000 first\n")
        for length in range(len(whole) + 1):
            path.write_bytes(whole[:length])
            spool = self.spool()
            spool.append([b"third"])
            expected = [b"first"] * (length >= first) + [b"second"] * (length == len(whole)) + [b"third"]
            self.assertEqual(self.everything(spool), expected, str(length))
            for later in self.folder.glob("*.spool"):
                if later != path:
                    later.unlink()
            spool.close()

    def test_what_the_disk_has_spoiled_is_counted(self) -> None:
        random = Random(3)
        spool = self.spool()
        lines = [b"line %d" % number for number in range(12)]
        spool.append(lines)
        path = self.folder / f"{spool.written.segment:010}.spool"
        data = bytearray(path.read_bytes())
        place = random.randrange(len(data) - 1)
        while data[place] == ord("\n"):
            place += 1
        data[place] ^= 1
        path.write_bytes(data)
        read = spool.read(Position(0, 0), 100)
        self.assertEqual((len(read.lines), read.lost), (11, 1))
        self.assertLess(set(read.lines), set(lines))

    def test_what_is_shipped_is_removed(self) -> None:
        """Whole files of it; what comes after is still there."""
        spool = self.spool()
        for number in range(60):
            spool.append([b"%d" % number])
        read = spool.read(Position(0, 0), 10)
        while read.after.segment < 3:
            read = spool.read(read.after, 10)
        before = spool.size
        spool.forget(read.after)
        self.assertEqual(min(self.folder.glob("*.spool")).name, "0000000003.spool")
        self.assertLess(spool.size, before)
        self.assertEqual(self.everything(spool)[-1], b"59")

    def test_full(self) -> None:
        """It says so, and goes on when there is room."""
        spool = self.spool(limit=100)
        spool.append([b"x" * 60])
        error = self.assertRaises(SpoolError, spool.append, [b"y" * 60])
        self.assertIn("ledger.spool_max", str(error))
        spool.append([b"z"])
        self.assertEqual(self.everything(spool), [b"x" * 60, b"z"])

    def test_a_full_disk(self) -> None:
        """What was written in part is taken back: the next line is whole."""
        spool = self.spool()
        spool.append([b"first"])
        previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (spool.written.place + 20, hard))
        try:
            self.assertRaises(SpoolError, spool.append, [b"second", b"third"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, previous)
        spool.append([b"fourth"])
        self.assertEqual(self.everything(spool), [b"first", b"fourth"])

    def test_no_file_can_be_opened(self) -> None:
        """Where the next file was to be begun: the row waits, and what is opened meanwhile is nobody's but its own."""
        spool = self.spool()
        while spool.written.place < 300:
            spool.append([b"a" * 50])
        with mock.patch.object(os, "open", side_effect=OSError(24, "Too many open files")):
            self.assertRaises(SpoolError, spool.append, [b"b"])
        other = os.open(self.folder, os.O_RDONLY)  # has the lowest number there is
        self.addCleanup(os.close, other)
        spool.append([b"b"])
        self.assertEqual(os.fstat(other).st_ino, self.folder.stat().st_ino)
        self.assertEqual(self.everything(spool)[-1:], [b"b"])

    def test_a_name_that_was_not_written(self) -> None:
        """The process ended, or the machine, before it was: two without a name would be one to the database."""
        self.folder.mkdir()
        (self.folder / "name").touch()
        spool = self.spool()
        self.assertEqual(len(spool.name), 16)
        spool.close()
        self.assertEqual(self.spool().name, spool.name)

    def test_of_one_process(self) -> None:
        self.spool()
        error = self.assertRaises(SpoolError, Spool(self.folder, 1).open)
        self.assertIn("in use by another process", str(error))

    def test_a_folder_that_cannot_be(self) -> None:
        self.folder.write_text("a file")
        self.assertRaises(SpoolError, Spool(self.folder, 1).open)

    def test_durable_when_append_returns(self) -> None:
        spool = self.spool()
        with mock.patch.object(os, "fdatasync", wraps=os.fdatasync) as synced:
            spool.append([b"first"])
        synced.assert_called_once()

    def test_private(self) -> None:
        """Who spent what is nobody else's business on this machine."""
        spool = self.spool()
        spool.append([b"x"])
        self.assertEqual({path.stat().st_mode & 0o077 for path in [self.folder, *self.folder.glob("*.spool")]}, {0})
