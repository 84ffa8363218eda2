"""``[cache]``, and what models and keys say of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.sections.cache import CacheRule
from tests.fakes import settings

MODEL = '[providers.mock]\nvendor = "mock"\n[models.m]\ntargets = ["mock/x"]\n'


class CacheSettings(SynchronousTestCase):
    def test_sizes(self) -> None:
        for text, expected in (("1000", 1000), ('"64 KiB"', 65536), ('"1GiB"', 1 << 30), ('"5mib"', 5 << 20)):
            self.assertEqual(settings(f"[cache]\nmax_bytes = {text}\n").cache.max_bytes, expected)
        for text in ("0", '"much"', "true", '"1.5MiB"', "-1"):
            self.assertRaises(ConfigError, settings, f"[cache]\nmax_bytes = {text}\n")

    def test_rules(self) -> None:
        for text, expected in (
            ("false", CacheRule(False)),
            ("true", CacheRule(True)),
            ("{ttl = 5, scope = 'team'}", CacheRule(ttl=5.0, scope="team")),
        ):
            self.assertEqual(settings(f"{MODEL}cache = {text}\n").models["m"].cache, expected)
        for text, problem in (
            ("5", "must be true, false or a table such as {ttl = 600}"),
            ("{tll = 5}", "has 'tll'; there is: enabled, ttl"),
            ("{ttl = 'x'}", "has a ttl that must be a number"),
        ):
            error = self.assertRaises(ConfigError, settings, f"{MODEL}cache = {text}\n")
            self.assertIn(problem, str(error))

    def test_of_a_key(self) -> None:
        found = settings('[[auth.keys]]\nname = "a"\nkey = "k"\ncache = {charge = "full"}\n')
        self.assertEqual(found.auth.keys[0].cache, CacheRule(charge="full"))

    def test_from_the_environment(self) -> None:
        self.assertTrue(settings("", {"CACHE_ENABLED": "true"}).cache.enabled)
