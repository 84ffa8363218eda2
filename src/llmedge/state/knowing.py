"""What was spent before this process began, asked for once by however many calls arrive before it is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from llmedge.state.funds import Fund

log = Logger()


class Knowing:
    """:param ask: reads what was spent of funds, within some seconds; they are known then, if it could be read."""

    def __init__(self, ask: Callable[[Sequence[Fund], float], Awaitable[object]]) -> None:
        self._ask = ask
        self._wanted: dict[str, Fund] = {}
        self._waiting: list[Deferred[None]] = []
        self._asking = False

    def ready(self, funds: Sequence[Fund], patience: float) -> Deferred[None]:
        """Fires when ``funds`` are known, or could not be within ``patience`` seconds of asking. Whoever comes while
        others are asked about waits, and is asked about with all who came meanwhile."""
        done: Deferred[None] = Deferred()
        self._wanted |= {fund.id: fund for fund in funds}
        self._waiting.append(done)
        if not self._asking:
            self._asking = True
            Deferred.fromCoroutine(self._serve(patience))
        return done

    async def _serve(self, patience: float) -> None:
        while self._waiting:
            wanted, self._wanted = self._wanted, {}
            waiting, self._waiting = self._waiting, []
            if unknown := [fund for fund in wanted.values() if not fund.known]:
                try:
                    await self._ask(unknown, patience)
                except Exception:
                    log.failure("what was spent of budgets could not be read")
            for each in waiting:
                if not each.called:  # else the call has gone
                    each.callback(None)
        self._asking = False
