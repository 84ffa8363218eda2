"""Rows on their way to the database, on the local disk: numbered files of lines, each with its checksum.

One thread writes, another reads. A line counts once it is whole; a torn one, which the end of a process may
leave at the end of a file, never does. Pure of threads and of databases.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

SEGMENT = 16 * 2**20
"""Bytes from which on the next file is begun."""
LONGEST = 2**19
"""Bytes that a line must be under."""
_READ = 2 * LONGEST
"""Bytes read at a time, about."""


class SpoolError(Exception):
    """It cannot be used; the message says why."""


class Position(NamedTuple):
    """A place in it: the number of a file, and a byte of it."""

    segment: int
    place: int


class Read(NamedTuple):
    """What was read. ``lost``: lines whose checksum is not theirs; ``after``: the position behind."""

    lines: list[bytes]
    after: Position
    lost: int


class Spool:
    """:param folder: made if it is not there; of one process alone.

    :param limit: bytes that may lie in it.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.name = ""
        self.written = Position(0, 0)
        """Behind the last line that is on the disk."""
        self._file = -1
        self._lock = -1
        self._sizes: dict[int, int] = {}

    @property
    def size(self) -> int:
        """Bytes in it."""
        return sum(list(self._sizes.values()))  # a copy: two threads change it

    def open(self) -> None:
        """:raises SpoolError: another process has it, or the disk refuses."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.name = self._named()
            self._sizes = {number: self._path(number).stat().st_size for number in self._segments()}
            self._begin(max(self._sizes, default=0) + 1)
        except BlockingIOError:
            raise SpoolError(f"{self.folder} is in use by another process; give each its own ledger.spool") from None
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}") from None

    def _named(self) -> str:
        """What the database knows its position by: another's, or none, would have rows passed over."""
        name = self.folder / "name"
        if not (name.exists() and name.stat().st_size):
            new = name.with_name("name.new")
            with new.open("w") as file:
                file.write(secrets.token_hex(8))
                file.flush()
                os.fsync(file.fileno())
            new.replace(name)
        return name.read_text()

    def append(self, lines: Sequence[bytes]) -> None:
        """Write ``lines``, which hold no line feed and are not too long; they are on the disk when this returns.

        :raises SpoolError: it is full, or the disk is; nothing is written then.
        """
        data = b"".join(b"%08x %b\n" % (crc32(line), line) for line in lines if len(line) < LONGEST)
        if self.size + len(data) > self.limit:
            raise SpoolError(f"{self.folder} is full ({self.limit} bytes, ledger.spool_max)")
        try:
            if self.written.place >= SEGMENT:
                self._begin(self.written.segment + 1)
            number, place = self.written
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, place)
                raise
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}") from None
        self.written = Position(number, place + len(data))
        self._sizes[number] = self.written.place

    def read(self, position: Position, most: int) -> Read:
        """At most ``most`` lines from ``position`` on; fewer if that is all, or a file ends.

        :raises SpoolError: the disk refuses.
        """
        number, place = position
        if not (self._path(number).exists() if number else False):
            if (first := min((each for each in list(self._sizes) if each >= number), default=None)) is None:
                return Read([], position, 0)
            number, place = first, 0
        current = number == self.written.segment
        end = min(place + _READ, self.written.place) if current else place + _READ
        lines: list[bytes] = []
        lost = 0
        try:
            with self._path(number).open("rb") as file:
                file.seek(place)
                while place < end and len(lines) + lost < most and (whole := file.readline()).endswith(b"\n"):
                    place += len(whole)
                    checksum, _, line = whole[:-1].partition(b" ")
                    if checksum == b"%08x" % crc32(line):
                        lines.append(line)
                    else:
                        lost += 1
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}") from None
        if not lines and not lost and not current:  # its end, or a torn line at its end
            return self.read(Position(number + 1, 0), most) if number < self.written.segment else Read([], position, 0)
        return Read(lines, Position(number, place), lost)

    def written_after(self, at: float) -> Position:
        """The beginning of the first file to which something was written after ``at``, in seconds since 1970."""
        for number in sorted(self._sizes):
            with suppress(OSError):  # it has just been removed
                if self._path(number).stat().st_mtime >= at:
                    return Position(number, 0)
        return self.written

    def forget(self, position: Position) -> None:
        """What lies before is somewhere else: whole files of it are removed."""
        for number in [each for each in list(self._sizes) if each < position.segment]:
            self._path(number).unlink(missing_ok=True)
            del self._sizes[number]

    def close(self) -> None:
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._file = self._lock = -1

    def _begin(self, number: int) -> None:
        file = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        before, self._file = self._file, file  # one that is closed may be a client's by now
        if before >= 0:
            os.close(before)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # that the file is there is to outlive a crash as well
        finally:
            os.close(folder)
        self.written = Position(number, 0)
        self._sizes[number] = 0

    def _segments(self) -> list[int]:
        found = (re.fullmatch(r"(\d{10})\.spool", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:010}.spool"
