"""What one configuration makes, and how another takes its place."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.pipeline import build
from tests.fakes import Edge, settings

ROUTING = """
[routing]
queue = {0}
breaker_failures = {0}
[models.m]
targets = ["mock/x"]
[providers.mock]
dialect = "mock"
"""


class Reload(SynchronousTestCase):
    def reload(self, edge: Edge, toml: str) -> bool:
        edge.service._reload = lambda: settings(toml)
        done: bool = self.successResultOf(Deferred.fromCoroutine(edge.service.reload()))
        return done

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
