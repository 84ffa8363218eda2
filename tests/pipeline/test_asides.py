"""Calls that the gateway makes for itself."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import ConnectFailed, EdgeError, NotFound, UpstreamMalformed, ValidationError
from llmedge.model import Answer, Caller
from llmedge.pipeline.asides import operators
from tests.pipeline.meaning import Meaning, whole

CALLER = Caller("c")
HELLO = [{"role": "user", "content": "hello"}]


class Asides(SynchronousTestCase):
    def setUp(self) -> None:
        self.meaning = Meaning(str, embed=lambda text: [1.0, 2.0])
        self.asides = self.meaning.made

    def chat(self, model: str = "judge", seconds: float = 5.0) -> Deferred[str]:
        return Deferred.fromCoroutine(self.asides.chat(model, HELLO, CALLER, seconds, "cache_judge"))

    def test_a_chat(self) -> None:
        """Has a record of its own, under the purpose's name, with what it cost."""
        self.assertEqual(self.successResultOf(self.chat()), "yes")
        (record,) = self.meaning.asides
        self.assertEqual(
            (record.operation, record.status, record.outcome, record.caller), ("cache_judge", 200, "ok", "c")
        )
        assert record.accounting.usage is not None
        self.assertEqual((record.accounting.usage.output, record.accounting.unpriced), (5, True))
        self.assertTrue(record.request_id.startswith("cache_judge_"))
        self.assertIsNotNone(record.ended)

    def test_an_embedding(self) -> None:
        asking = Deferred.fromCoroutine(self.asides.embed("vectors", "a fox", CALLER, 5.0, "cache_embed"))
        self.assertEqual(self.successResultOf(asking), [1.0, 2.0])
        self.meaning.world.vendors[2].scripts = [(Answer(b'{"data": []}'),)]
        asking = Deferred.fromCoroutine(self.asides.embed("vectors", "a fox", CALLER, 5.0, "cache_embed"))
        self.failureResultOf(asking, UpstreamMalformed)

    def test_failures(self) -> None:
        """Are on record, and whoever asked is told."""
        self.failureResultOf(self.chat("nobody"), NotFound)
        self.meaning.judging = lambda asked: ConnectFailed("down", cause="refused")
        self.failureResultOf(self.chat(), EdgeError)
        (record,) = self.meaning.asides
        self.assertEqual((record.outcome, record.status), ("error", 502))
        self.assertTrue(self.meaning.world.at_rest())

    def test_models_that_take_no_temperature(self) -> None:
        """Are asked without one, from then on at once."""
        refusal = ValidationError("unsupported: temperature", param="temperature")
        vendor = self.meaning.world.vendors[1]
        vendor.scripts = [(lambda call: refusal if "temperature" in call.fields else whole("no"),)]
        for asked in (2, 3):
            self.assertEqual(self.successResultOf(self.chat()), "no")
            self.assertEqual(len(vendor.calls), asked)
        vendor.scripts = [(ValidationError("no"),)]
        self.failureResultOf(self.chat(), ValidationError)

    def test_time(self) -> None:
        """It has the seconds it is given, and nothing is left of it then."""
        self.meaning.world.vendors[1].scripts = [(Deferred(), whole("yes"))]
        asking = self.chat(seconds=2.0)
        self.meaning.world.clock.advance(1.9)
        self.assertNoResult(asking)
        self.meaning.world.clock.advance(0.2)
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.meaning.asides[0].outcome, "aborted")
        self.assertTrue(self.meaning.world.at_rest())
        self.meaning.world.vendors[1].scripts = [(Deferred(), whole("yes"))]
        asking = self.chat(seconds=2.0)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(self.meaning.world.at_rest())

    def test_operators(self) -> None:
        """Have no limits, and no key pays for what is asked in their name."""
        caller = operators(CALLER)
        self.assertEqual((caller.name, caller.limits, caller.account.key_id), ("c", (), "asides"))
