"""An issuer's keys: fetched in the background, never more often than they may be, kept while it is away."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import ConnectFailed
from llmedge.identity import jwks
from llmedge.identity.issuers import Issuers
from llmedge.identity.jwks import FETCH_TIMEOUT, LEAST_LIFE, LIFE, LONGEST_LIFE, PAUSE, STALE, Fetches, KeySource
from tests.identity.issuer import KEYS, OTHER, URL, Fetched, published, settings

DAY = 86_400.0
METADATA = f"{URL}/.well-known/openid-configuration"


class Sources(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fetched = Fetched()
        self.fetches = Fetches()
        self.warned: list[str] = []
        self.patch(jwks.log, "warn", lambda text, **fields: self.warned.append(fields["why"]))

    def source(self, **more: Any) -> KeySource:
        source = KeySource(settings(**more), self.clock, self.fetches)
        source.start(self.fetched)
        return source

    def has(self, source: KeySource, *ids: str) -> bool:
        keys = source.keys()
        return keys is not None and all(keys.knows(each) for each in ids)

    def away(self) -> None:
        self.fetched.answers = dict.fromkeys(self.fetched.answers, ConnectFailed("could not be reached"))

    def test_by_discovery(self) -> None:
        """Where the keys are, the issuer says itself; or its settings do."""
        self.assertTrue(self.has(self.source(), "rsa", "ec", "ed"))
        self.assertEqual(self.fetched.asked, [METADATA, f"{URL}/keys"])
        self.fetched.asked.clear()
        self.assertTrue(self.has(self.source(jwks_url=f"{URL}/keys"), "rsa"))
        self.assertEqual(self.fetched.asked, [f"{URL}/keys"])
        self.fetched.asked.clear()
        self.fetched.answers[f"{URL}/own"] = self.fetched.answers[METADATA]
        self.assertTrue(self.has(self.source(discovery=f"{URL}/own"), "rsa"))
        self.assertEqual(self.fetched.asked, [f"{URL}/own", f"{URL}/keys"])

    def test_counted(self) -> None:
        """How often an issuer was asked, and in vain; a metric from the beginning, and beyond a reload."""
        self.source()
        self.clock.advance(LIFE)
        self.away()
        for _ in range(3):
            self.clock.advance(LIFE)
        (family,) = self.fetches.collect()
        counts = {(each.labels["issuer"], each.labels["outcome"]): each.value for each in family.samples}
        self.assertEqual(counts[URL, "ok"], 2)
        self.assertGreaterEqual(counts[URL, "error"], 3)
        again = Issuers([settings()], self.clock, self.fetched, None, self.fetches)
        self.assertEqual(again.fetches.counts[URL, "ok"], 2)

    def test_metadata_of_somebody_else(self) -> None:
        """Or that sends us anywhere in the clear."""
        for document in (
            {"issuer": URL + "/", "jwks_uri": f"{URL}/keys"},
            {"jwks_uri": f"{URL}/keys"},
            {"issuer": URL},
            {"issuer": URL, "jwks_uri": 5},
            {"issuer": URL, "jwks_uri": "http://login.example.com/keys"},
            {"issuer": URL, "jwks_uri": "file:///etc/passwd"},
            [],
            b"<html>",
        ):
            self.fetched.answers[METADATA] = document
            self.assertIsNone(self.source().keys())
        self.assertEqual(set(self.fetched.asked), {METADATA})

    def test_renewed(self) -> None:
        """As the issuer says, within a minute and a day; other keys are told of."""
        for said, seconds in (
            ("", LIFE),
            ("public, max-age=3600", 3600.0),
            ("max-age=5", LEAST_LIFE),
            ("no-store", LEAST_LIFE),
            ("public, no-cache, max-age=900", LEAST_LIFE),
            ("max-age=99999999", LONGEST_LIFE),
            ("s-maxage=3", LIFE),
            ("max-age=soon", LIFE),
        ):
            self.fetched.cache_control = said
            self.fetched.publish(KEYS["RS256"])
            source = self.source()
            told: list[bool] = []
            source.changed = lambda told=told: told.append(True)
            self.fetched.publish(OTHER)
            self.clock.advance(seconds - 1)
            self.assertTrue(self.has(source, "rsa"), said)
            self.clock.advance(1)
            self.assertTrue(self.has(source, "other") and not self.has(source, "rsa"), said)
            self.assertEqual(told, [True])
            self.clock.advance(seconds)
            self.assertEqual(told, [True], "they are the same")
            source.stop()

    def test_the_issuer_is_away(self) -> None:
        """An old set serves for a day beyond its life; it is tried again all the while, and the log says it once."""
        source = self.source()
        self.away()
        self.clock.advance(LIFE)
        asked = len(self.fetched.asked)
        for _ in range(int((STALE - 1) / PAUSE)):
            self.clock.advance(PAUSE)
            self.assertTrue(self.has(source, "rsa"))
        self.assertEqual(len(self.fetched.asked) - asked, int((STALE - 1) / PAUSE))
        self.clock.advance(2 * PAUSE)
        self.assertIsNone(source.keys())
        self.assertEqual(self.warned, ["could not be reached"])
        self.fetched.answers = Fetched().answers
        self.clock.advance(PAUSE)
        self.assertTrue(self.has(source, "rsa"))

    def test_what_is_no_answer(self) -> None:
        """The old set stays."""
        source = self.source()
        for status, answer, why in (
            (500, {}, "status 500"),
            (302, published(), "status 302"),
            (200, b"nothing", "else than JSON"),
            (200, {"keys": []}, "no key"),
            (200, {"keys": 5}, "not a set"),
            (200, RuntimeError("secret"), "RuntimeError"),
        ):
            self.fetched.status, self.fetched.answers[f"{URL}/keys"] = status, answer
            if status != 200:
                self.fetched.answers[METADATA] = {}
            else:
                self.fetched.answers[METADATA] = Fetched().answers[METADATA]
            source._away = False
            self.clock.advance(LIFE)
            self.assertIn(why, self.warned[-1])
            self.assertTrue(self.has(source, "rsa"))
        self.assertNotIn("secret", str(self.warned))

    def test_no_answer_in_time(self) -> None:
        self.fetched.answers[METADATA] = Deferred()
        source = self.source()
        self.clock.advance(FETCH_TIMEOUT)
        self.assertIn("within", self.warned[0])
        self.fetched.answers = Fetched().answers
        self.clock.advance(PAUSE)
        self.assertTrue(self.has(source, "rsa"))

    def test_asked_at_most_once_in_a_while(self) -> None:
        """However many know of keys that are not there."""
        source = self.source(jwks_url=f"{URL}/keys")
        self.assertIsNone(source.ask(), "it was asked a moment ago")
        self.clock.advance(PAUSE)
        asked = len(self.fetched.asked)
        for _ in range(1000):
            source.ask()
        self.assertEqual(len(self.fetched.asked), asked + 1)
        self.away()
        for _ in range(300):
            self.clock.advance(0.2)
            source.ask()
        self.assertLessEqual(len(self.fetched.asked), asked + 1 + 60 / PAUSE)

    def test_all_wait_for_one(self) -> None:
        """A flight is shared; who leaves does not end it, and nobody waits longer than the patience of a call."""
        source = self.source(jwks_url=f"{URL}/keys")
        self.clock.advance(PAUSE)
        flight: Deferred[Any] = Deferred()
        self.fetched.answers[f"{URL}/keys"] = flight
        first, second, third = (cast(Any, source.ask()) for _ in range(3))
        first.addErrback(lambda failure: None)
        first.cancel()
        self.clock.advance(1)
        self.assertNoResult(second)
        self.clock.advance(1)
        self.successResultOf(second)
        self.successResultOf(third)
        self.assertFalse(flight.called)
        fourth: Any = source.ask()
        flight.callback(published(OTHER))
        self.successResultOf(fourth)
        self.assertTrue(self.has(source, "other"))

    def test_stopped(self) -> None:
        """Nothing is left behind, whether it waits, or fetches."""
        self.source().stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.fetched.answers[METADATA] = Deferred()
        source = self.source()
        source.stop()
        source.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(source.ask())
        self.assertEqual(self.warned, [])


class Reloaded(SynchronousTestCase):
    def test_keys_are_taken_over(self) -> None:
        """Of an issuer that is the same in both; the others end, or begin."""
        clock, fetched = Clock(), Fetched()
        fetched.answers["https://two/keys"] = published(OTHER)
        first = Issuers([settings()], clock, fetched)
        first.start()
        self.assertEqual(len(fetched.asked), 2)
        more = settings(issuer="two", jwks_url="https://two/keys")
        second = Issuers([settings(leeway=5), more], clock, fetched, first)
        second.start()
        first.retire(second)
        self.assertIs(second.sources[0][1], first.sources[0][1])
        self.assertEqual(fetched.asked[2:], ["https://two/keys"])
        third = Issuers([more], clock, fetched, second)
        third.start()
        second.retire(third)
        clock.advance(LIFE)
        self.assertEqual(fetched.asked[3:], ["https://two/keys"])
        third.retire()
        self.assertEqual(clock.getDelayedCalls(), [])
