"""What was spent of budgets by all who use this database: read at the start, and again while others spend too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs

from llmedge.errors import StoreUnavailable
from llmedge.state.funds import Fund
from llmedge.store.database import Connection, DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.spend import Question, spend

_SECOND = 1_000_000


class Spent:
    """Keeps funds true to the ledger."""

    def __init__(self, database: DatabaseThread, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger

    async def read(self, funds: Sequence[Fund], patience: float) -> bool:
        """Have ``funds`` say what the ledger does; whether it could be asked within ``patience`` seconds.

        What this process has spent since it asked comes on top; what is on its way to the database may count twice for
        a moment: rather too much than too little.
        """
        before = [(fund, fund.settled, fund.start) for fund in funds]
        await self._ledger.caught_up(patience)
        asked = [(fund, _question(fund)) for fund in funds]
        try:
            told = await self._database.run(
                lambda connection: [_tell(connection, fund.id, question) for fund, question in asked], patience
            )
        except StoreUnavailable:
            return False
        for (fund, settled, start), found in zip(before, told, strict=True):
            if fund.start == start:
                fund.spent = found.spent + fund.settled - settled
                fund.more, fund.more_until = found.more, found.more_until / _SECOND
                fund.known = True
                fund.wake()
        return True


def _question(fund: Fund) -> Question:
    fund.roll()
    kind, _, id = fund.limits.id.partition(":")
    models = () if "*" in fund.budget.models else fund.budget.models
    return Question(int(fund.start) * _SECOND, int(fund.end) * _SECOND, where={kind: [id]}, models=models)


class Told(NamedTuple):
    """What the database says of a fund: spent since its period began, or was reset; more than its amount, until when
    (microseconds since 1970)."""

    spent: int
    more: int
    more_until: int


def _tell(connection: Connection, id: str, asked: Question) -> Told:
    events = connection.query("SELECT at, action, amount, until FROM budget_event WHERE budget = ? ORDER BY at", [id])
    resets = [at for at, action, *_ in events if action == "reset" and at > asked.start]
    raises = [(until, amount) for _, action, amount, until in events if action == "raise"]
    question = attrs.evolve(asked, start=int(resets[-1])) if resets else asked
    until, more = raises[-1] if raises else (0, 0)
    return Told(int(spend(connection, question)[0]["cost"]), int(more), int(until))
