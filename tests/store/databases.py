"""The same tests on SQLite and on PostgreSQL, and rows for them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.model import Account, Target, Usage
from llmedge.money import picos
from llmedge.record import Attempt, Record
from llmedge.store.database import Connection
from llmedge.store.migrations import migrate
from llmedge.store.rows import Row, row_of
from llmedge.store.sqlite import SqliteConnection
from tests import postgresql

KINDS = ("Sqlite", "Postgresql")


def on_both(cases: type, base: type = SynchronousTestCase) -> tuple[type, type]:
    """Two classes of tests out of a mixin of :class:`OnDatabase`; to be assigned to names of the module's."""
    made = []
    for kind in KINDS:
        case = type(f"{cases.__name__}{kind}", (cases, base), {"kind": kind, "__module__": cases.__module__})
        if kind == "Postgresql" and (why := postgresql.missing()):
            case.skip = why  # type: ignore[attr-defined]
        made.append(case)
    return made[0], made[1]


class OnDatabase:
    """:ivar kind: of :data:`KINDS`."""

    kind: str

    def where(self) -> Any:
        """Where a new database is: a path, or a URL."""
        if self.kind == "Sqlite":
            return Path(self.mktemp()) / "llmedge.db"  # type: ignore[attr-defined]
        return postgresql.server().database()

    def connect(self, where: Any) -> Connection:
        if isinstance(where, Path):
            connection: Connection = SqliteConnection(where)
        else:
            from llmedge.store.postgresql import PostgresqlConnection

            connection = PostgresqlConnection(where)
        self.addCleanup(connection.close)  # type: ignore[attr-defined]
        return connection

    def migrated(self) -> Connection:
        """A connection to a new database with this release's tables."""
        connection = self.connect(self.where())
        migrate(connection)
        return connection


def record(
    at: float,
    key: str = "team-a",
    model: str = "gpt-4o",
    cost: str | None = "0.0045",
    tokens: tuple[int, int] = (1000, 200),
    **more: Any,
) -> Record:
    """A finished call, received at ``at``."""
    account = more.pop("account", Account(f"id-{key}", "red", "search", "acme", "anna", ("batch",)))
    made = Record(more.pop("request_id", f"req_{at}"), "POST", "/v1/chat/completions", "127.0.0.1", at, "chat")
    made.caller, made.account, made.model, made.model_label = key, account, model, model
    made.outcome, made.status, made.ended = more.pop("outcome", "ok"), 200, at + 0.5
    attempt = Attempt(Target("openai", f"{model}-2024"), at)
    attempt.end(at + 0.4, "ok")
    attempt.usage = made.accounting.usage = Usage(*tokens)
    attempt.cost = made.accounting.cost = None if cost is None else picos(Decimal(cost))
    attempt.unpriced = made.accounting.unpriced = cost is None
    made.routing.attempts.append(attempt)
    made.routing.answered_by = attempt
    for name, value in more.items():
        setattr(made, name, value)
    return made


def row(at: float, **more: Any) -> Row:
    """Its row."""
    made = record(at, **more)
    return row_of(made, f"{at:020.6f}{made.caller}")
