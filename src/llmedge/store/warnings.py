"""Budgets that are nearly spent: told once a period and share, whichever process notices first, and written down."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from llmedge.errors import StoreUnavailable
from llmedge.identity.directory import Directory
from llmedge.state.funds import Fund
from llmedge.store import entities, leases
from llmedge.store.database import Connection, DatabaseThread

log = Logger()

AGAIN = 10.0
"""Seconds until a database that was away is asked again who tells it."""
SOFT_LIMIT = "budget.soft_limit"
"""What is told and written down."""


class Warnings:
    """Is told by each process of a share that was reached; see :attr:`llmedge.state.allowances.Allowances.tell`.

    :param tell: tells whoever wants to know, given what and how it is.
    """

    def __init__(
        self,
        reactor: Any,
        database: DatabaseThread,
        directory: Directory,
        tell: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._reactor, self._database, self._directory = reactor, database, directory
        self._tell = tell
        self._telling: set[Deferred[None]] = set()

    def __call__(self, fund: Fund, share: float) -> None:
        telling: Deferred[None] = Deferred.fromCoroutine(self._once(fund, share, fund.start))
        self._telling.add(telling)
        telling.addErrback(_defect).addBoth(lambda _: self._telling.discard(telling))

    def stop(self) -> None:
        """What the database did not hear of is not told."""
        for each in tuple(self._telling):
            each.cancel()

    async def _once(self, fund: Fund, share: float, start: float) -> None:
        event, end, holder = fund.event(share), fund.end, secrets.token_hex(8)
        name = f"{SOFT_LIMIT}:{fund.id}:{start}:{share}:{event['amount_usd']}"
        kind, _, id = fund.limits.id.partition(":")
        entity = self._directory.entity(kind, id)
        team = id if kind == "team" else "" if entity is None else entity.team

        def is_first(connection: Connection) -> bool:
            seconds = end - connection.now() / 1_000_000 + 86_400  # clocks differ
            with connection.transaction():
                if not leases.take_within(connection, name, holder, seconds):
                    return False
                actor = entities.Actor("llmedge")
                entities.write_down(connection, actor, SOFT_LIMIT, "budget", event["budget"], team, None, event)
            return True

        while fund.start == start:
            try:
                if await self._database.run(is_first):
                    self._tell(SOFT_LIMIT, event)
                return
            except StoreUnavailable:
                await self._pause()

    async def _pause(self) -> None:
        done: Deferred[None] = Deferred(lambda _: delayed.cancel())
        delayed = self._reactor.callLater(AGAIN, done.callback, None)
        await done


def _defect(failure: Any) -> None:
    if not failure.check(CancelledError):
        log.failure("that a budget is nearly spent could not be told", failure)
