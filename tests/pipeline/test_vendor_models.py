"""Lists of vendors' models: who is asked, when, and what becomes of failures."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import ConnectFailed
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.vendor_models import FETCH_TIMEOUT, VendorModels
from llmedge.providers.provider import ModelInfo
from tests.fakes import settings

TOML = (
    '[providers.a]\nbase_url = "http://a.example/v1"\nmodels = ["a-*", "shared-*-long"]\n'
    '[providers.b]\nbase_url = "http://b.example/v1"\nmodels = ["b-*", "shared-*"]\n'
    '[models."own"]\ntargets = ["a/own"]\n[models."gpt-*"]\ntargets = ["b/*", "a/*"]\n'
)


class Fake:
    """A provider that answers with what a test gives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Deferred[list[ModelInfo]]] = []

    async def complete(self, call: Any, attempt: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None: ...

    async def list_models(self) -> list[ModelInfo]:
        self.asked.append(Deferred())
        return await self.asked[-1]

    def answer(self, *names: str) -> None:
        self.asked[-1].callback([ModelInfo(name) for name in names])


class Mute:
    """A provider that has no list."""

    name = "mute"

    async def complete(self, call: Any, attempt: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None: ...


class Models(SynchronousTestCase):
    def make(self, refresh: float = 300.0) -> VendorModels:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.a, self.b = Fake("a"), Fake("b")
        chosen = settings(TOML)
        self.index = ModelIndex(chosen.models, chosen.providers)
        models = VendorModels({"a": self.a, "b": self.b, "mute": Mute()}, self.index, refresh, self.clock)
        self.addCleanup(models.close)  # or the garbage collector ends who still waits, in whatever order
        return models

    def ask(self, models: VendorModels) -> Deferred[None]:
        return Deferred.fromCoroutine(models.ready())

    def test_nobody_is_asked_before_somebody_asks(self) -> None:
        """Then each once, however many wait; all have the lists when the last one is there."""
        models = self.make()
        self.assertEqual(self.a.asked, [])
        waiting = [self.ask(models) for _ in range(3)]
        self.assertEqual((len(self.a.asked), len(self.b.asked)), (1, 1))
        self.a.answer("a-1")
        self.assertNoResult(waiting[0])
        self.b.answer("b-1")
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(set(models.names()), {"a-1", "b-1"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_vendor_is_not_waited_for(self) -> None:
        models = self.make()
        waiting = self.ask(models)
        self.a.answer("a-1")
        self.clock.advance(1.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.successResultOf(waiting)
        self.assertEqual(set(models.names()), {"a-1"})
        self.b.answer("b-1")
        self.assertEqual(set(models.names()), {"a-1", "b-1"})

    def test_who_leaves_stops_nothing(self) -> None:
        models = self.make()
        first, second = self.ask(models), self.ask(models)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.a.answer("a-1")
        self.b.answer()
        self.successResultOf(second)

    def test_renewed_in_the_background(self) -> None:
        """An old list is shown while the next one is under way, and only one is at a time."""
        models = self.make()
        self.ask(models)
        self.a.answer("a-1")
        self.b.answer()
        self.clock.advance(299)
        self.successResultOf(self.ask(models))
        self.assertEqual(len(self.a.asked), 1)
        self.clock.advance(1)
        before = models.version
        for _ in range(3):
            self.successResultOf(self.ask(models))
        self.assertEqual(len(self.a.asked), 2)
        self.assertEqual(set(models.names()), {"a-1"})
        self.b.answer()
        self.assertEqual(models.version, before)  # nothing changed: what was made from it stays good
        self.a.answer("a-2")
        self.assertEqual(set(models.names()), {"a-2"})

    def test_the_last_good_list_is_kept(self) -> None:
        """A failure is logged once, and tried again after half a minute by whoever asks then."""
        models = self.make()
        self.ask(models)
        self.a.answer("a-1")
        self.b.asked[0].errback(ConnectFailed("could not be reached").of("b"))
        self.successResultOf(self.ask(models))
        self.clock.advance(30)
        self.successResultOf(self.ask(models))
        self.assertEqual((len(self.a.asked), len(self.b.asked)), (1, 2))
        self.b.answer("b-1")
        self.clock.advance(300)
        self.ask(models)
        self.b.asked[-1].errback(ValueError("a defect"))
        self.clock.advance(FETCH_TIMEOUT)  # and a never answers
        self.assertEqual(set(models.names()), {"a-1", "b-1"})
        self.clock.advance(30)
        self.ask(models)
        self.assertEqual((len(self.a.asked), len(self.b.asked)), (3, 4))

    def test_names(self) -> None:
        """The bare id where asking for it leads to that model there, else with the provider in front."""
        models = self.make()
        self.ask(models)
        self.a.answer("a-1", "b-2", "other", "own", "shared-x", "shared-x-long", "gpt-1", "b/b-3")
        self.b.answer("a-1", "b-2", "own", "shared-x", "shared-x-long", "gpt-1", "a/x")
        names = {name: provider for name, (provider, _) in models.names().items()}
        bare = {"a-1": "a", "own": "a", "shared-x-long": "a", "b-2": "b", "shared-x": "b", "gpt-1": "b"}
        at_a = ("a/b-2", "a/b/b-3", "a/gpt-1", "a/other", "a/shared-x")
        at_b = ("b/a-1", "b/a/x", "b/own", "b/shared-x-long")
        self.assertEqual(names, bare | dict.fromkeys(at_a, "a") | dict.fromkeys(at_b, "b"))
        for name, provider in names.items():  # and it is true
            match = self.index.find(name)
            assert match is not None
            self.assertEqual(match.candidates[0].target.provider, provider)

    def test_never(self) -> None:
        models = self.make(refresh=0)
        self.successResultOf(self.ask(models))
        self.assertEqual((self.a.asked, models.names()), ([], {}))

    def test_another_configuration(self) -> None:
        """Goes on from the lists of providers that stayed as they were; what was under way is stopped."""
        models = self.make()
        self.ask(models)
        self.a.answer("a-1")
        after = VendorModels({"a": self.a, "b": self.b}, self.index, 300, self.clock)
        self.addCleanup(after.close)
        after.keep(models, ["a", "b"])
        waiting = self.ask(models)
        models.close()
        models.close()
        self.successResultOf(waiting)
        self.assertEqual(set(after.names()), {"a-1"})
        self.ask(after)
        self.assertEqual((len(self.a.asked), len(self.b.asked)), (1, 2))
