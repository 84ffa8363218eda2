"""What one configuration makes, and how another takes its place."""

import sys
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge import graph as graph_module
from llmedge.config import ConfigError
from llmedge.pipeline import build
from llmedge.service import StartError
from tests.fakes import Edge, settings
from tests.folders import new_folder
from tests.identity.issuer import AUDIENCE, URL, Fetched, published, sign

ROUTING = """
[routing]
queue = {0}
breaker_failures = {0}
[models.m]
targets = ["mock/x"]
[providers.mock]
dialect = "mock"
"""


class Reloads(SynchronousTestCase):
    def reload(self, edge: Edge, toml: str) -> bool:
        edge.service._reload = lambda: settings(toml)
        done: bool = self.successResultOf(Deferred.fromCoroutine(edge.service.reload()))
        return done


class Reload(Reloads):
    def in_force(self, edge: Edge) -> tuple[int, int, int]:
        """The queue and the breaker as the settings have them, and as the deployment that is in use has them."""
        (deployment,) = edge.service._process.deployments.all()
        queue = edge.service.graph.settings.routing.queue
        return queue, deployment.queue.length, deployment.breaker.settings.consecutive_failures

    def test_is_in_force_whole(self) -> None:
        edge = Edge(ROUTING.format(100))
        self.assertEqual(edge.chat(model="m").status, 200)
        self.assertTrue(self.reload(edge, ROUTING.format(7)))
        self.assertEqual(self.in_force(edge), (7, 7, 7))

    def test_a_provider_that_cannot_be_closed(self) -> None:
        """Is said in the log; the new configuration is in force whole all the same."""
        edge = Edge(ROUTING.format(100))
        self.assertEqual(edge.chat(model="m").status, 200)

        def fail() -> None:
            raise ValueError("not now")

        edge.service.graph.pipeline.providers["mock"].close = fail  # type: ignore[method-assign]
        self.assertTrue(self.reload(edge, ROUTING.format(7) + '[[auth.keys]]\nname = "k"\nkey = "secret"\n'))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.in_force(edge), (7, 7, 7))
        self.assertEqual(edge.chat(model="m").status, 401)

    def test_pauses_end(self) -> None:
        """Whoever asked to be left alone is asked again: an operator has seen to it, perhaps."""
        edge = Edge(ROUTING.format(100))
        self.assertEqual(edge.chat(model="m").status, 200)
        edge.service._process.deployments.get("mock/x").pacer.pause(86400.0, "Retry-After")
        self.assertEqual(edge.chat(model="m").status, 429)
        self.assertTrue(self.reload(edge, ROUTING.format(100)))
        self.assertEqual(edge.chat(model="m").status, 200)

    def test_the_cache(self) -> None:
        """Has the room that is in force, and none where it is off; what is only built changes nothing."""
        edge = Edge('[cache]\nenabled = true\n[providers.mock]\nvendor = "mock"\nmodels = ["*"]\n')
        ask = lambda: edge.chat().headers.get("x-llmedge-cache", "")  # noqa: E731
        self.assertEqual([ask(), ask()], ["MISS", "HIT"])
        small = "[cache]\nenabled = true\nmax_bytes = 10\n"
        graph = edge.service.graph
        graph_module.build(graph.process, settings(small), graph)
        self.assertEqual(ask(), "HIT")
        self.assertTrue(self.reload(edge, small))
        self.assertEqual([ask(), ask()], ["MISS", "MISS"])
        for text, found in (("[cache]\nenabled = true\n", ["MISS", "HIT"]), ("", ["", ""])):
            self.assertTrue(self.reload(edge, text))
            self.assertEqual([ask(), ask()], found)
        self.assertEqual(graph.process._cache.memory.size, 0)

    def test_is_refused_whole(self) -> None:
        """A provider that cannot be made refuses the configuration, of which nothing is in force then."""

        def refuse(*args: Any) -> Any:
            raise ConfigError("it cannot be made")

        edge = Edge(ROUTING.format(100))
        self.assertEqual(edge.chat(model="m").status, 200)
        self.patch(build, "provider_of", refuse)
        self.assertFalse(self.reload(edge, ROUTING.format(7)))
        self.assertEqual(self.in_force(edge), (100, 100, 100))
        self.assertEqual(edge.chat(model="m").status, 200)


class Identity(Reloads):
    """Whoever is known is asked for by the configuration in force, and by no other."""

    def tokens(self, more: str = "") -> str:
        return f'[[auth.jwt]]\nissuer = "{URL}"\naudience = "{AUDIENCE}"\njwks_url = "http://127.0.0.1:1/keys"\n{more}'

    def test_issuers(self) -> None:
        """Their keys go on from one configuration to the next, and end with the last that needs them."""
        edge = Edge(self.tokens())
        edge.service.graph.start()
        (source,) = [source for _, source in edge.service.graph.issuers.sources]
        fetched = Fetched()
        fetched.answers["http://127.0.0.1:1/keys"] = published()
        source.stop()
        source.start(fetched)
        ask = lambda: edge.ask("GET", "/v1/models", headers={"x-api-key": sign().decode()}).status  # noqa: E731
        self.assertEqual(ask(), 200)
        self.assertTrue(self.reload(edge, self.tokens("leeway = 5\n")))
        self.assertIs(edge.service.graph.issuers.sources[0][1], source)
        self.assertEqual(ask(), 200)
        self.assertIsNotNone(source._timer)
        self.assertTrue(self.reload(edge, '[[auth.keys]]\nname = "a"\nkey = "key-a"\n'))
        self.assertEqual(ask(), 401)
        self.assertIsNone(source._timer)

    def test_what_is_not_in_force(self) -> None:
        """A configuration that was built and refused changes nothing of who is forgotten when the store, or an issuer,
        says so."""
        edge = Edge(self.tokens(), {"LLMEDGE_STORE": f"sqlite:{new_folder()}/llmedge.db"})
        graph = edge.service.graph
        changed, (_, source) = graph.process.store.directory.changed, graph.issuers.sources[0]
        other = graph_module.build(graph.process, graph.settings, graph)
        self.assertEqual(graph.process.store.directory.changed, changed)
        self.assertEqual(source.changed, graph.identifiers.forget)
        other.enter(graph)
        self.assertEqual(graph.process.store.directory.changed, [other.identifiers.forget])
        self.assertEqual(source.changed, other.identifiers.forget)

    def test_without_the_package(self) -> None:
        """It is said what to install; without issuers nobody needs it."""
        with patch.dict(sys.modules, {"llmedge.identity.issuers": None}):
            self.assertEqual(Edge().chat().status, 200)
            error = self.assertRaises(StartError, Edge, self.tokens())
        self.assertIn("pip install 'llmedge[oidc]'", str(error))


class Looked(SynchronousTestCase):
    """What a start would refuse, ``--check`` says: a configuration that is called good is one."""

    def refused(self, toml: str, *missing: str, **environ: str) -> str:
        with patch.dict(sys.modules, dict.fromkeys(missing)):
            return str(self.assertRaises(ConfigError, graph_module.check, settings(toml, environ)))

    def test_packages(self) -> None:
        jwt = f'[[auth.jwt]]\nissuer = "{URL}"\naudience = "{AUDIENCE}"\n'
        cache = "[cache]\nenabled = true\n"
        url = "postgresql://llmedge@127.0.0.1/x"
        self.assertIn("llmedge[oidc]", self.refused(jwt, "llmedge.identity.issuers"))
        self.assertIn("llmedge[postgresql]", self.refused("", "llmedge.store.postgresql", LLMEDGE_STORE=url))
        redis = f'{cache}[redis]\nurl = "redis://127.0.0.1"\n'
        self.assertIn("llmedge[redis]", self.refused(redis, "llmedge.redis.client"))
        with patch("llmedge.pipeline.semantic_build.missing", return_value=["numpy"]):
            self.assertIn("llmedge[semantic]", self.refused(f'{cache}[cache.semantic]\nmode = "shadow"\n'))

    def test_a_pepper(self) -> None:
        """PostgreSQL needs one; SQLite has one made, not by whoever only looks."""
        self.assertIn("LLMEDGE_PEPPER", self.refused("", LLMEDGE_STORE="postgresql://llmedge@127.0.0.1/x"))
        folder = new_folder()
        graph_module.check(settings("", {"LLMEDGE_STORE": f"sqlite:{folder}/llmedge.db"}))
        self.assertEqual(list(folder.iterdir()), [])
