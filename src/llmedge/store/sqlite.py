"""The embedded database: keys, budgets and sums in one file, the ledger's rows in a file a month beside it.

SQLite's write-ahead log makes a transaction over several files whole only in each of them
(sqlite.org/lang_attach.html), so rows go first, where a second time changes nothing, and what counts them goes after.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from llmedge.store.database import ConstraintError, DatabaseError
from llmedge.store.rows import COLUMNS, Row, day_of

_ATTACHED = 8
"""Months that are open at once; SQLite takes 10 files."""
_INSERT = f"INSERT OR IGNORE INTO {{}}.ledger ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_ADDED = {"cache": "text NOT NULL DEFAULT ''"} | dict.fromkeys(
    ("saved", "spared_input", "spared_output"), "integer NOT NULL DEFAULT 0"
)
"""Columns that the files of earlier months may not have."""


_OLDEST = (3, 24)
"""Before it there is no ON CONFLICT (sqlite.org/lang_upsert.html)."""


def sqlite_problem() -> str:
    """Why it cannot be used; ``""``: it can."""
    if sqlite3.sqlite_version_info >= _OLDEST:
        return ""
    return f"needs SQLite 3.24 or later, and this Python has {sqlite3.sqlite_version}"


class SqliteConnection:
    """:param path: of the file with the keys; ``NAME-2026-11.db`` beside it has the rows of a month.

    :raises DatabaseError: it cannot be opened.
    """

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._attached: list[str] = []
        with _errors(str(path)):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
            except OSError as error:
                raise DatabaseError(f"{path}: {error.strerror}") from None
            self._sqlite = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._sqlite.execute(f"PRAGMA {pragma}")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _errors(str(self._path)):
            return self._sqlite.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        with _errors(str(self._path)):
            return self._sqlite.execute(sql, parameters).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with _errors(str(self._path)):
            self._sqlite.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._sqlite.in_transaction:
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    migrating = transaction

    def now(self) -> int:
        return time.time_ns() // 1000

    def months(self, start: int, end: int) -> Iterator[str]:
        first, last = day_of(start) // 100, day_of(max(start, end - 1)) // 100
        for month in reversed([month for month in self._there() if first <= month <= last]):
            yield f"{self._attach(month)}.ledger"

    def add(self, rows: Sequence[Row], then: Callable[[], None]) -> None:
        by_month: dict[int, list[Sequence[Any]]] = {}
        for row in rows:
            by_month.setdefault(day_of(row.at) // 100, []).append([getattr(row, name) for name in COLUMNS])
        for month, values in sorted(by_month.items()):
            name = self._attach(month)
            with self.transaction():
                self.many(_INSERT.format(name), values)
        with self.transaction():
            then()

    def prepare(self, now: int, months: int) -> None:
        """A month's file is made with its first row."""

    def notify(self) -> None:
        """Nobody can be told: others look now and then."""

    def forget(self, before: int) -> int:
        gone = [month for month in self._there() if month < day_of(before) // 100]
        for month in gone:
            self._detach(f"m{month}")
            file = self._file(month)
            for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
                path.unlink(missing_ok=True)
        return len(gone)

    def close(self) -> None:
        self._sqlite.close()

    def _file(self, month: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{month // 100}-{month % 100:02}{self._path.suffix}")

    def _there(self) -> list[int]:
        pattern = re.compile(rf"{re.escape(self._path.stem)}-(\d{{4}})-(\d\d){re.escape(self._path.suffix)}")
        found = (pattern.fullmatch(path.name) for path in self._path.parent.iterdir())
        return sorted(int(match[1] + match[2]) for match in found if match)

    def _attach(self, month: int) -> str:
        """The schema of that month's file, which is made if it is not there. Not within a transaction."""
        name = f"m{month}"
        if name in self._attached:
            self._attached.remove(name)
        else:
            if len(self._attached) >= _ATTACHED:
                self._detach(self._attached[0])
            file = self._file(month)
            file.touch(mode=0o600)
            self.execute(f"ATTACH DATABASE ? AS {name}", [str(file)])
            try:
                self._prepare(name, str(file))
            except BaseException:
                self.execute(f"DETACH DATABASE {name}")  # else it could not be attached the next time
                raise
        self._attached.append(name)
        return name

    def _prepare(self, name: str, file: str) -> None:
        """Have the tables and columns of this release in the schema ``name``."""
        self.execute(f"PRAGMA {name}.journal_mode = WAL")
        self.execute(f"PRAGMA {name}.synchronous = FULL")
        with _errors(file):
            self._sqlite.executescript((files("llmedge.store") / "sql/month.sql").read_text().format(month=name))
        if self._missing(name):
            with self.transaction():  # another process may be at it
                for column in self._missing(name):
                    self.execute(f"ALTER TABLE {name}.ledger ADD COLUMN {column} {_ADDED[column]}")

    def _missing(self, name: str) -> list[str]:
        there = {row[1] for row in self.query(f"PRAGMA {name}.table_info(ledger)")}
        return [column for column in _ADDED if column not in there]

    def _detach(self, name: str) -> None:
        if name in self._attached:
            self._attached.remove(name)
            self.execute(f"DETACH DATABASE {name}")


@contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError) as error:
        raise ConstraintError(str(error)) from None
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}") from None
