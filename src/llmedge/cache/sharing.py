"""The cache of one process and the Redis it shares with others: answers, and what is purged."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from llmedge.cache.sealed import Seal
from llmedge.cache.shared import SharedAnswers
from llmedge.cache.state import CacheState
from llmedge.config import Settings
from llmedge.redis.connect import connect
from llmedge.redis.counters import SharedCounters


class Sharing:
    """Of one configuration.

    :raises ConfigError: a package is missing.
    """

    def __init__(self, reactor: Any, settings: Settings, state: CacheState, random: Random) -> None:
        self._settings = settings
        self._state = state
        self._redis = connect(reactor, settings, random)
        encrypt = settings.redis.encrypt
        self._answers = SharedAnswers(self._redis, Seal(encrypt) if encrypt else None)
        self._counters = SharedCounters(reactor, self._redis, b"generations")
        self._started = False

    def serves(self, settings: Settings) -> bool:
        """Whether another one for ``settings`` would be the same."""
        was = self._settings
        return (was.redis, was.upstream.ca_file, was.upstream.ca_dir) == (
            settings.redis,
            settings.upstream.ca_file,
            settings.upstream.ca_dir,
        )

    def start(self) -> None:
        """In the place of whatever was shared before."""
        if self._started:
            return
        self._started = True
        state = self._state
        state.shared = self._answers
        state.parts.append(self._redis.collect)
        state.generations.share(self._counters.bump)
        self._counters.watch(self._learn)
        self._counters.start()
        self._redis.start()

    def stop(self) -> None:
        """What was purged stays so."""
        state = self._state
        if state.shared is self._answers:
            state.shared = None
            state.generations.share(None)
        if self._redis.collect in state.parts:
            state.parts.remove(self._redis.collect)
        self._counters.stop()
        self._redis.stop()

    def _learn(self, values: Mapping[str, bytes]) -> None:
        if self._state.shared is self._answers:  # else another one says it
            self._state.generations.learn(values)
