"""Callers that carry guardrails, where none is configured."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.identity.chain import IdentifierChain
from llmedge.identity.unguarded import NotGuarded, Unguarded
from llmedge.model import Caller
from tests.identity.test_chain import Shown


class Knows:
    def __init__(self, found: Any) -> None:
        self.found = found
        self.forgotten = 0

    def identify(self, credentials: Any) -> Any:
        return self.found

    def forget(self) -> None:
        self.forgotten += 1


class Carrying(SynchronousTestCase):
    def test_are_served_nothing(self) -> None:
        """Known now or later; others are who they are."""
        bare, guarded = Caller("a"), Caller("b", guardrails=("pii",))
        for caller in (bare, None):
            self.assertIs(Unguarded(Knows(caller)).identify(Shown(b"key")), caller)
        error = self.assertRaises(NotGuarded, Unguarded(Knows(guarded)).identify, Shown(b"key"))
        self.assertEqual((error.status, error.code), (503, "guardrail_unavailable"))
        for caller, refused in ((bare, False), (guarded, True)):
            coming: Deferred[Any] = Deferred()
            found: Any = Unguarded(Knows(coming)).identify(Shown(b"key"))
            asking = Deferred.fromCoroutine(found)
            coming.callback(caller)
            if refused:
                self.failureResultOf(asking, NotGuarded)
            else:
                self.assertIs(self.successResultOf(asking), bare)

    def test_what_was_known_is_forgotten(self) -> None:
        knows = Knows(None)
        IdentifierChain([Unguarded(knows)]).forget()
        self.assertEqual(knows.forgotten, 1)
