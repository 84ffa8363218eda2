"""Counters that all processes have in common, in one hash. Each process has a copy, a second old at most while the
Redis is there; while it is away the copy goes on alone."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

EPOCH = "epoch"
"""The field that is random: where it is another one, nothing is as it was."""
EVERY = 1.0
"""Seconds between two looks."""
FIELDS = 4096
"""Beyond so many all begin anew, with another epoch."""
EPOCHS = 64
"""So many that are over are remembered."""

Values = Mapping[str, bytes]
"""What each field is. It is of no use but to be compared: a count, or something that no other process has."""


class Asked(Protocol):
    """A Redis (:class:`llmedge.redis.client.Redis`)."""

    prefix: bytes
    entered: list[Callable[[], object]]

    def read(self, *command: bytes) -> Deferred[Any] | None: ...


class SharedCounters:
    """A field that was counted up never becomes again what it was, whatever the Redis loses: where the hash was evicted
    or emptied, or a replica took over that had not heard all of it, there is another epoch.

    What is counted up here and the others do not know yet has a value of this process's own.
    """

    def __init__(self, clock: Any, redis: Asked, name: bytes) -> None:
        self._redis = redis
        self._name = redis.prefix + name
        self._known: dict[str, bytes] = {EPOCH: _by_chance()}
        self._past: deque[bytes] = deque(maxlen=EPOCHS)
        self._unsaid: dict[str, bytes] = {}
        self._changed: list[Callable[[Values], object]] = []
        self._shown: Values = self._known
        self._one_at_a_time = DeferredLock()
        self._timer = LoopingCall(self._look)
        self._timer.clock = clock

    def start(self) -> None:
        self._redis.entered.append(self._look)
        self._timer.start(EVERY, now=False)

    def stop(self) -> None:
        """The copy stays as it is."""
        if self._timer.running:
            self._timer.stop()
            self._redis.entered.remove(self._look)

    def watch(self, changed: Callable[[Values], object]) -> None:
        """``changed`` is told all of them, now and after each change."""
        self._changed.append(changed)
        changed(self._shown)

    async def bump(self, field: str) -> bool:
        """Count it up, here at once; :data:`EPOCH`: all of them. Whether the others know; if not, they will."""
        if field not in self._known and len(self._known) + len(self._unsaid) >= FIELDS:
            field = EPOCH
        self._unsaid[field] = own = _by_chance()
        self._show()
        await self._look()
        return self._unsaid.get(field) != own

    def _show(self) -> None:
        values = self._known | self._unsaid
        if values != self._shown:
            for changed in self._changed:
                changed(values)
            self._shown = values

    def _look(self) -> Deferred[None]:
        """Fires when what others have counted up is known, and they know what was counted up here; or nothing is
        answered."""
        looking: Deferred[None] = self._one_at_a_time.run(lambda: Deferred.fromCoroutine(self._compare()))
        return looking.addErrback(_failed)

    async def _compare(self) -> None:
        for field, own in list(self._unsaid.items()):
            if await self._say(field) and self._unsaid.get(field) == own:
                del self._unsaid[field]
        found = await self._read()
        if found is not None and EPOCH not in found:
            await self._ask(b"HSETNX", self._name, EPOCH.encode(), _by_chance())  # whoever comes first
            found = await self._read()
        elif found is not None and self._is_behind(found):
            await self._ask(b"HSET", self._name, EPOCH.encode(), _by_chance())
            found = await self._read()
        if found is not None and EPOCH in found and not self._is_behind(found):
            if found[EPOCH] != self._known[EPOCH]:
                self._past.append(self._known[EPOCH])
            self._known = found
        self._show()

    async def _say(self, field: str) -> bool:
        """Tell the others. Where it is not known whether they heard, it is said again: once more does no harm."""
        if field != EPOCH:
            return isinstance(await self._ask(b"HINCRBY", self._name, field.encode(), b"1"), int)
        gone = await self._ask(b"DEL", self._name)  # with fields that nobody needs
        return gone is not None and await self._ask(b"HSET", self._name, EPOCH.encode(), _by_chance()) is not None

    def _is_behind(self, found: Mapping[str, bytes]) -> bool:
        """Whether it has forgotten what this process knows of it."""
        epoch = found.get(EPOCH)
        if epoch != self._known[EPOCH]:
            return epoch in self._past
        return any(_count(found.get(field, b"")) < _count(value) for field, value in self._known.items())

    async def _read(self) -> dict[str, bytes] | None:
        reply = await self._ask(b"HGETALL", self._name)
        if not isinstance(reply, list):
            return None
        pairs = iter(reply)
        return {field.decode(errors="replace"): value for field, value in zip(pairs, pairs, strict=True)}

    async def _ask(self, *command: bytes) -> Any:
        answer = self._redis.read(*command)
        return None if answer is None else await answer


def _by_chance() -> bytes:
    return secrets.token_hex(8).encode()


def _count(value: bytes) -> int:
    """What is no count, such as the epoch, is 0."""
    try:
        return int(value)
    except ValueError:
        return 0


def _failed(failure: Failure) -> None:
    if not failure.check(CancelledError):  # type: ignore[no-untyped-call]  # twisted has no types here
        log.failure("counters in redis could not be compared; they are in a second", failure=failure)
