"""A service outside that judges: asked over kept connections, by few at once, left alone while it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger

from llmedge.errors import EdgeError
from llmedge.guards.interfaces import GuardDeps, GuardFailed
from llmedge.state.breaker import CircuitBreaker, State
from llmedge.threads import LARGE, is_heavy
from llmedge.upstream.post import Poster

log = Logger()

MOST = 128
"""Calls that may wait for one service; those beyond fail at once, as it would have them wait for nothing."""
AT_ONCE = 8
"""Requests that one call has under way, where it takes several."""
ROOM = 1024 * 1024
"""Bytes that an answer may have beside four times those of the question."""

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_AWAY = (401, 403, 404, 408, 429)
"""What is not about one question, beside 5xx."""
_EARLY = 0.002
"""Seconds by which a timer of the reactor may be early against its clock."""


class Refused(GuardFailed):
    """The service does not take this one question: nothing bad is learned of its health."""


class Service:
    """One guardrail's.

    :param timeout: seconds after which whoever waits gives up: a service that took so long is ill.
    """

    def __init__(self, deps: GuardDeps, name: str, timeout: float) -> None:
        self._deps, self._name, self._timeout = deps, name, timeout
        self._post = Poster(deps.reactor, deps.client).whole
        random = Random()  # noqa: S311 - so that processes do not probe in step
        self._breaker = CircuitBreaker(deps.reactor, random, observer=self._changed)
        self._waiting = 0

    async def judge(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work``, which asks the service, makes of what it says.

        :raises GuardFailed: too many wait, it is left alone, or it fails.
        """
        if self._waiting >= MOST:
            raise GuardFailed("unavailable", "too many wait for it")
        ticket = self._breaker.begin()
        if ticket is None:
            raise GuardFailed("unavailable", "it is left alone for a moment")
        clock = self._deps.reactor
        began = clock.seconds()
        self._waiting += 1
        try:
            found = await work()
            ticket.succeed()
            return found
        except Refused:
            ticket.succeed()
            raise
        except GuardFailed:
            ticket.fail(clock.seconds() - began)
            raise
        except CancelledError:
            if (taken := clock.seconds() - began) >= self._timeout - _EARLY:
                ticket.fail(taken)
            raise
        finally:
            self._waiting -= 1
            ticket.abandon()

    async def ask(
        self, url: str, headers: Mapping[str, str], fields: Any, read: Callable[[bytes], T], size: int = 0
    ) -> T:
        """What ``read`` makes of the JSON that the service answers with.

        :param size: characters in ``fields``, about. Errors as for :meth:`send`.
        """
        body = await self._deps.in_thread(_encode, fields) if size >= LARGE else _encode(fields)
        return await self.send(url, headers, body, read)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, read: Callable[[bytes], T]) -> T:
        """The same for a body that is JSON already.

        :raises GuardFailed: there is no answer, it has another status than 2xx, or ``read`` cannot read it.
        """
        most = ROOM + 4 * len(body)
        try:
            status, answer = await self._post(url, {"content-type": "application/json", **headers}, body, most)
        except EdgeError as error:
            raise failed(error) from None
        if status >= 500 or status in _AWAY:
            raise GuardFailed("unavailable", f"status {status}")
        if not 200 <= status < 300:
            raise Refused("answer", f"status {status}")
        try:
            return await self._deps.in_thread(read, answer) if is_heavy(answer) else read(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise GuardFailed("answer", "it is no such JSON") from None

    def _changed(self, before: State, after: State) -> None:
        if after is State.OPEN and before is State.CLOSED:
            log.warn("the service of the guardrail {name} is left alone: {why}", name=self._name, why=self._breaker.why)
        elif after is State.CLOSED:
            log.info("the service of the guardrail {name} answers again", name=self._name)


def failed(error: EdgeError) -> GuardFailed:
    """What ``error``, of asking somebody, is to a guardrail."""
    return GuardFailed("timeout" if error.status == 504 else "unavailable", type(error).__name__)


async def together(asking: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all, in their order, :data:`AT_ONCE` at once. The first that fails ends the others."""
    results: dict[int, T] = {}
    todo = iter(enumerate(asking))

    async def work() -> None:
        for number, each in todo:
            results[number] = await each()

    workers = [Deferred.fromCoroutine(work()) for _ in range(min(AT_ONCE, len(asking)))]
    try:
        await gatherResults(workers, consumeErrors=True)
    except (CancelledError, FirstError) as error:
        for worker in workers:
            worker.cancel()
        if isinstance(error, FirstError):
            raise error.subFailure.value from None  # type: ignore[misc]
        raise
    return [results[number] for number in range(len(asking))]
