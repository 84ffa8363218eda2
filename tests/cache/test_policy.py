"""The nearest says how; who says no is heard, wherever he stands."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.policy import policy_of, rules_of
from llmedge.config.sections.cache import Cache, CacheRule
from llmedge.model import Caller, Limits

ON = Cache(True, ttl=100.0)


class Policies(SynchronousTestCase):
    def test_the_nearest(self) -> None:
        policy = policy_of(
            ON, CacheRule(ttl=50.0, scope="team"), [CacheRule(ttl=5.0), CacheRule(ttl=7.0, when="asked")]
        )
        self.assertEqual((policy.ttl, policy.scope, policy.when, policy.enabled), (5.0, "team", "asked", True))

    def test_off(self) -> None:
        for model, above, enabled in (
            (None, [], True),
            (CacheRule(False), [], False),
            (CacheRule(False), [CacheRule(True)], True),
            (None, [CacheRule(True), CacheRule(False)], False),
            (None, [CacheRule(False), CacheRule(True)], False),
        ):
            self.assertEqual(policy_of(ON, model, above).enabled, enabled, (model, above))
        self.assertTrue(policy_of(Cache(), CacheRule(True), []).enabled)

    def test_whose(self) -> None:
        """In the order of the caller's limits, those that say something."""
        limits = (Limits("key:1", "k"), Limits("team:1", "t", cache=CacheRule(ttl=1.0)))
        self.assertEqual(rules_of(Caller("a", limits=limits)), (CacheRule(ttl=1.0),))
