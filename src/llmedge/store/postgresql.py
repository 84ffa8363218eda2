"""PostgreSQL, by psycopg 3 (the extra ``postgresql``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from llmedge.store.database import ConstraintError, DatabaseError
from llmedge.store.rows import COLUMNS, Row

_ADVISORY = 0x6C6C6D65646765  # "llmedge"
_MICROS = 1_000_000
CHANNEL = "llmedge"
"""What those listen to who want to know of changes."""
_AT_MOST = "SET LOCAL lock_timeout = '2s'"
"""Whoever waits for a table to himself has all others wait behind him (postgresql.org/docs/current/
explicit-locking.html): while somebody reads it for long, better another time."""
_NAMES = ", ".join(COLUMNS)
_COPY = f"COPY shipped ({_NAMES}) FROM STDIN"
_SHIP = f"INSERT INTO ledger ({_NAMES}) SELECT {_NAMES} FROM shipped ON CONFLICT DO NOTHING"  # noqa: S608 - our own names


def problem_of(url: str) -> str:
    """What is wrong with it; ``""``: nothing that could be known without asking the server. libpq repeats a URL that it
    cannot read, and with it the password."""
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        return "is no URL of PostgreSQL: characters of the password other than letters and digits are to be written %XX"
    port = parameters.get("port") or "5432"
    return "" if all(each.isdigit() for each in str(port).split(",")) else "has a port that is no number"


def connect(url: str) -> psycopg.Connection:
    """:raises DatabaseError: it cannot be reached."""
    with _errors():
        return psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=5,
            application_name="llmedge",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )


class PostgresqlConnection:
    """:param url: ``postgresql://…``, as libpq reads it.

    :raises DatabaseError: it cannot be reached.
    """

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        self._psycopg = connect(url)
        with _errors():
            self._psycopg.execute("SET client_min_messages = warning")
        self._partitions: set[int] = set()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _errors():
            return self._psycopg.execute(_placed(sql), parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        with _errors():
            return self._psycopg.execute(_placed(sql), parameters or None).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with _errors(), self._psycopg.cursor() as cursor:
            cursor.executemany(_placed(sql), rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with _errors(), self._psycopg.transaction():
            yield

    @contextmanager
    def migrating(self) -> Iterator[None]:
        with self.transaction():
            self.query("SELECT pg_advisory_xact_lock(?)", [_ADVISORY])
            yield

    def now(self) -> int:
        return int(self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")[0][0])

    def months(self, start: int, end: int) -> Iterator[str]:
        yield "ledger"

    def add(self, rows: Sequence[Row], then: Callable[[], None]) -> None:
        months = {_month(row.at) for row in rows}
        with self.transaction():
            for month in sorted(months - self._partitions):
                self._partition(month)
            self.execute("CREATE TEMP TABLE IF NOT EXISTS shipped (LIKE ledger) ON COMMIT DELETE ROWS")
            with _errors(), self._psycopg.cursor() as cursor, cursor.copy(_COPY) as copy:
                for row in rows:
                    copy.write_row([getattr(row, name) for name in COLUMNS])
            self.execute(_SHIP)
            then()
        self._partitions |= months

    def prepare(self, now: int, months: int) -> None:
        month = _month(now)
        for _ in range(months + 1):
            with self.transaction():
                self._partition(month)
            month = month + 1 if month % 100 < 12 else month + 89

    def forget(self, before: int) -> int:
        gone = [
            name
            for (name,) in self.query(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = 'ledger'::regclass"
            )
            if name < f"ledger_{_month(before)}"
        ]
        self._partitions.clear()
        for done, name in enumerate(gone):
            try:
                with self._psycopg.transaction():
                    self.execute(_AT_MOST)
                    self._psycopg.execute(f'DROP TABLE "{name}"')
            except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
                return done  # its owner sees to that
        return len(gone)

    def notify(self) -> None:
        self.execute(f"NOTIFY {CHANNEL}")

    def close(self) -> None:
        self._psycopg.close()

    def _partition(self, month: int) -> None:
        year, of_year = divmod(month, 100)
        begin = datetime(year, of_year, 1, tzinfo=UTC)
        end = datetime(year + of_year // 12, of_year % 12 + 1, 1, tzinfo=UTC)
        first, last = (int(moment.timestamp()) * _MICROS for moment in (begin, end))
        there = "SELECT to_regclass(?)"
        if self.query(there, [f"ledger_{month}"])[0][0]:
            return
        self.query("SELECT pg_advisory_xact_lock(?)", [_ADVISORY])
        if not self.query(there, [f"ledger_{month}"])[0][0]:  # else another process has made it meanwhile
            # Made apart and attached, it needs no lock that readers would have to wait for.
            self.execute(f"CREATE TABLE ledger_{month} (LIKE ledger INCLUDING ALL)")
            self.execute(f"ALTER TABLE ledger ATTACH PARTITION ledger_{month} FOR VALUES FROM ({first}) TO ({last})")


def _month(at: int) -> int:
    moment = datetime.fromtimestamp(at // _MICROS, UTC)
    return moment.year * 100 + moment.month


def _placed(sql: str) -> Any:
    """psycopg has ``%s`` where we have ``?``."""
    return sql.replace("%", "%%").replace("?", "%s")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError, UnicodeEncodeError) as error:
        raise ConstraintError(" ".join(str(error).split())) from None
    except psycopg.Error as error:
        raise DatabaseError(" ".join(str(error).split())) from None
