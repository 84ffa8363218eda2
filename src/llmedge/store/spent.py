"""What was spent of budgets by all who use this database: read at the start, and again while others spend too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import attrs

from llmedge.errors import StoreUnavailable
from llmedge.state.funds import Fund
from llmedge.store.database import Connection, DatabaseThread
from llmedge.store.ledger import INTENT, Ledger, ended
from llmedge.store.rows import Row
from llmedge.store.spend import GROUPS, Question, spend

_SECOND = 1_000_000
_TOGETHER = 500
"""Ids a question."""


class Spent:
    """Keeps funds true to the ledger."""

    def __init__(self, database: DatabaseThread, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger
        self._caught_up = False
        self.tell: Callable[[Fund, float], None] = lambda fund, share: None

    async def read(self, funds: Sequence[Fund], patience: float) -> bool:
        """Have ``funds`` say what the ledger does; whether it could be asked within ``patience`` seconds.

        What this process has spent and is on its way to the database comes on top. What the process before it has left
        behind is waited for.
        """
        return await self.ask(funds, patience / 2, await self.caught_up(patience / 2))

    async def ask(self, funds: Sequence[Fund], patience: float, whole: bool) -> bool:
        """The same.

        :param whole: what that process has left is there; else what is known already is the least that was spent.
        """
        asked = [(fund, fund.start, _question(fund)) for fund in funds]
        ledger, questions = self._ledger, [(fund.id, question) for fund, _, question in asked]
        try:
            kept, told = await self._database.run(
                lambda connection: (ledger.kept, _tell(connection, questions)), patience
            )
        except StoreUnavailable:
            return False
        for (fund, start, _), found in zip(asked, told, strict=True):
            if fund.start == start:
                fund.more, fund.more_until = found.more, found.more_until / _SECOND
                least = 0 if whole else fund.spent - sum(cost for _, cost in fund.recent)
                for share in fund.learn(max(found.spent, least), kept):
                    self.tell(fund, share)
        return True

    async def caught_up(self, patience: float) -> bool:
        """Whether the database has what the process before this one has left behind, after ``patience`` seconds at
        most."""
        if not self._caught_up:
            self._caught_up = await self._ledger.caught_up(patience)
        return self._caught_up


def _question(fund: Fund) -> Question:
    fund.roll()
    kind, _, id = fund.limits.id.partition(":")
    models = () if "*" in fund.budget.models else fund.budget.models
    return Question(int(fund.start) * _SECOND, int(fund.end) * _SECOND, where={kind: [id]}, models=models)


def left(fund: Fund, rows: Iterable[Row], at: float) -> int:
    """What ``rows`` of calls that ended after ``at`` (seconds since 1970) have taken of ``fund``, in picos."""
    kind, _, id = fund.limits.id.partition(":")
    column, since, until = GROUPS[kind], fund.start * _SECOND, fund.end * _SECOND
    return sum(
        row.cost or 0
        for row in rows
        if getattr(row, column) == id and since <= row.at < until and fund.is_for(row.model)
        if row.outcome == INTENT or ended(row) > at
    )


class Told(NamedTuple):
    """What the database says of a fund: spent since its period began, or was reset; more than its amount, until when
    (microseconds since 1970)."""

    spent: int
    more: int
    more_until: int


def _tell(connection: Connection, asked: Sequence[tuple[str, Question]]) -> list[Told]:
    """Of each fund, by its id and what is asked of it."""
    events = _events(connection, [id for id, _ in asked])
    questions, raised = [], []
    for id, question in asked:
        resets = [at for at, action, *_ in events.get(id, ()) if action == "reset" and at > question.start]
        raises = [(until, amount) for _, action, amount, until in events.get(id, ()) if action == "raise"]
        questions.append(attrs.evolve(question, start=int(resets[-1])) if resets else question)
        raised.append(raises[-1] if raises else (0, 0))
    sums = _sums(connection, questions)
    return [Told(spent, int(more), int(until)) for spent, (until, more) in zip(sums, raised, strict=True)]


def _events(connection: Connection, ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for some in _some(ids):
        for budget, *event in connection.query(
            "SELECT budget, at, action, amount, until FROM budget_event"  # noqa: S608 - no value in it
            f" WHERE budget IN ({', '.join('?' * len(some))}) ORDER BY at",
            some,
        ):
            found.setdefault(budget, []).append(tuple(event))
    return found


def _sums(connection: Connection, questions: Sequence[Question]) -> list[int]:
    """What was spent in answer to each. Those that differ in whom they ask about, only, are asked together."""
    found: dict[tuple[Any, ...], int] = {}
    alike: dict[tuple[Any, ...], list[str]] = {}
    for asked in questions:
        for kind, ids in asked.where.items():
            alike.setdefault((asked.start, asked.end, asked.models, kind), []).extend(ids)
    for (start, end, models, kind), ids in alike.items():
        for some in _some(ids):
            for group in spend(connection, Question(start, end, (kind,), {kind: some}, models)):
                found[start, end, models, kind, group[kind]] = group["cost"]
    return [
        found.get((asked.start, asked.end, asked.models, kind, ids[0]), 0)
        for asked in questions
        for kind, ids in asked.where.items()
    ]


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[first : first + _TOGETHER] for first in range(0, len(ids), _TOGETHER))
