"""What was spent of budgets by all who use this database: read at the start, and again while others spend too."""

from __future__ import annotations

from collections.abc import Sequence

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
            sums = await self._database.run(lambda connection: _sums(connection, [each for _, each in asked]), patience)
        except StoreUnavailable:
            return False
        for (fund, settled, start), found in zip(before, sums, strict=True):
            if fund.start == start:
                fund.spent = found + fund.settled - settled
                fund.known = True
        return True


def _question(fund: Fund) -> Question:
    fund.roll()
    kind, _, id = fund.limits.id.partition(":")
    models = () if "*" in fund.budget.models else fund.budget.models
    return Question(int(fund.start) * _SECOND, int(fund.end) * _SECOND, where={kind: [id]}, models=models)


def _sums(connection: Connection, questions: Sequence[Question]) -> list[int]:
    return [int(spend(connection, each)[0]["cost"]) for each in questions]
