"""The cache of a process, and a Redis that comes and goes with the configuration."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.state import CacheState
from llmedge.service import StartError
from tests.fakes import Edge, settings

URL = "redis://127.0.0.1:1"
CACHE = "[auth]\nenabled = false\n[cache]\nenabled = true\n"


def toml(url: str = URL, more: str = "") -> str:
    return f'{CACHE}{more}\n[redis]\nurl = "{url}"\n'


class Sharing(SynchronousTestCase):
    def edge(self, text: str) -> Edge:
        edge = Edge(text)
        edge.service.graph.start()
        self.addCleanup(edge.service.graph.retire)
        return edge

    def state(self, edge: Edge) -> CacheState:
        state: CacheState = edge.service._process._cache
        return state

    def reload(self, edge: Edge, text: str) -> None:
        edge.service._reload = lambda: settings(text)
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(edge.service.reload())))

    def attempts(self, edge: Edge) -> list[tuple[Any, ...]]:
        """Where connections were asked for."""
        return [call[:2] for call in edge.reactor.tcpClients]

    def metrics(self, edge: Edge) -> str:
        return edge.ask("GET", "/metrics").body.decode()

    def test_it_is_connected_to(self) -> None:
        edge = self.edge(toml())
        self.assertEqual(self.attempts(edge), [("127.0.0.1", 1)])
        self.assertIsNotNone(self.state(edge).shared)
        self.assertIn("llm_cache_redis_state 2.0\n", self.metrics(edge))

    def test_only_where_there_is_a_cache(self) -> None:
        for text in (CACHE, f'[redis]\nurl = "{URL}"\n', f'{CACHE}[redis]\nurl = "off"\n'):
            edge = self.edge(text)
            self.assertEqual(self.attempts(edge), [])
            self.assertNotIn("llm_cache_redis_state", self.metrics(edge))

    def test_calls_do_not_wait_for_it(self) -> None:
        edge = self.edge(toml())
        self.assertEqual([edge.chat(model="m").headers["x-llmedge-cache"] for _ in range(2)], ["MISS", "HIT"])

    def test_it_stays_where_nothing_of_it_changes(self) -> None:
        edge = self.edge(toml())
        shared = self.state(edge).shared
        self.reload(edge, toml(more="ttl = 60"))
        self.assertIs(self.state(edge).shared, shared)
        self.assertEqual(len(self.attempts(edge)), 1)

    def test_another_takes_over(self) -> None:
        """What was purged stays so, and what the first one says afterwards counts no more."""
        edge = self.edge(toml())
        state = self.state(edge)
        first, was = edge.service.graph.sharing, state.generations.of("s", "m", "")
        self.reload(edge, toml("redis://127.0.0.2:2"))
        second = state.generations.of("s", "m", "")
        self.assertNotEqual(second, was)
        self.assertEqual(self.attempts(edge)[1:], [("127.0.0.2", 2)])
        first._learn({"epoch": b"of the first"})
        self.assertEqual(state.generations.of("s", "m", ""), second)
        self.assertEqual(self.metrics(edge).count("llm_cache_redis_state 2.0\n"), 1)
        self.reload(edge, CACHE)
        self.assertIsNone(state.shared)
        self.assertNotIn("llm_cache_redis_state", self.metrics(edge))
        self.assertEqual(state.generations.of("s", "m", ""), second)
        self.assertTrue(self.successResultOf(state.generations.bump("all")))
        self.assertNotEqual(state.generations.of("s", "m", ""), second)

    def test_what_is_purged_while_it_is_away(self) -> None:
        """It is purged here, and it is said that the others do not know."""
        edge = self.edge(toml())
        generations = self.state(edge).generations
        before = generations.of("s", "m", "")
        self.assertFalse(self.successResultOf(generations.bump("all")))
        self.assertNotEqual(generations.of("s", "m", ""), before)

    def test_nothing_goes_on_when_it_stops(self) -> None:
        edge = self.edge(toml())
        edge.service.graph.retire()
        before = len(self.attempts(edge))
        edge.reactor.pump([1.0] * 30)
        self.assertEqual(len(self.attempts(edge)), before)

    def test_without_the_package(self) -> None:
        """It is said what to install; who shares nothing does not need it."""
        with patch.dict(sys.modules, {"llmedge.redis.client": None}):
            self.assertEqual(self.edge(CACHE).chat(model="m").status, 200)
            error = self.assertRaises(StartError, Edge, toml())
        self.assertIn("pip install 'llmedge[redis]'", str(error))
