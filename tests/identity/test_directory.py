"""Who a key of the store is, and what it may: from memory, and at once what was changed last."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.entities import Entity, KeySecret
from llmedge.errors import AuthError, PermissionDenied, StoreUnavailable
from llmedge.identity.chain import IdentifierChain
from llmedge.identity.configured import Loopback
from llmedge.identity.directory import Directory
from llmedge.identity.secrets import Pepper, new
from llmedge.identity.virtual_keys import VirtualKeys
from llmedge.model import Account
from tests.identity.test_chain import Shown

OLD, NEW = Pepper.of("old pepper, 16 characters"), Pepper.of("new pepper, 16 characters")
KEY = new().encode()


def key(id: str = "k", **more: Any) -> Entity:
    return Entity("key", id, more.pop("name", f"name-of-{id}"), **more)


def secret(value: bytes = KEY, of: str = "k", pepper: Pepper = NEW, expires_at: int | None = None) -> KeySecret:
    return KeySecret(pepper.digest(value), of, pepper.id, "last", 0, expires_at)


class Directories(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Directory(self.clock, (NEW, OLD))
        self.chain = IdentifierChain([VirtualKeys(self.directory), Loopback(self.directory.knows_any)])
        self.directory.changed.append(self.chain.forget)

    def refusal(self, kind: type[Exception], shown: Shown | None = None) -> Any:
        return self.assertRaises(kind, self.chain.identify, shown or Shown(KEY))

    def caller(self) -> Any:
        return self.chain.identify(Shown(KEY))

    def test_a_key_and_what_it_belongs_to(self) -> None:
        """All limits of the path, its own first; the models that all of them allow; everybody's guardrails."""
        self.directory.apply(
            1,
            [
                Entity("organization", "o", "acme", data={"budgets": [{"amount": 5}]}),
                Entity(
                    "team",
                    "t",
                    "red",
                    organization="o",
                    data={"models": ["gpt-*", "claude-*"], "tpm": 9, "guardrails": ["pii"]},
                ),
                Entity("project", "p", "search", team="t", data={"rpm": 3}),
                key(
                    project="p",
                    user="anna",
                    data={"models": ["*-4o", "claude-x"], "rpm": 7, "tags": ["batch"], "guardrails": ["own"]},
                ),
            ],
            [secret()],
        )
        caller = self.caller()
        self.assertEqual(caller.account, Account("k", "t", "p", "o", "anna", ("batch",)))
        self.assertEqual(
            [(each.id, each.who) for each in caller.limits],
            [
                ("key:k", "The key 'name-of-k'"),
                ("project:p", "The project 'search'"),
                ("team:t", "The team 'red'"),
                ("organization:o", "The organization 'acme'"),
            ],
        )
        self.assertEqual(caller.guardrails, ("own", "pii"))
        allowed = [model for model in ("gpt-4o", "claude-x", "llama-4o", "gpt-5") if caller.may_use(model)]
        self.assertEqual(allowed, ["gpt-4o", "claude-x"])

    def test_a_change_is_in_force_at_once(self) -> None:
        """Also for heads that were known; who is deleted is nobody."""
        self.directory.apply(1, [key()], [secret()])
        shown = Shown(KEY)
        before = self.chain.epoch
        self.assertEqual(self.chain.identify(shown).account.key_id, "k")  # type: ignore[union-attr]
        self.assertTrue(shown.lasting)
        self.directory.apply(2, [key(state="disabled")], [secret()])
        self.assertIsNot(self.chain.epoch, before)
        self.assertEqual(self.refusal(PermissionDenied).code, "KEY_DISABLED")
        self.directory.apply(3, [key(state="deleted")], [])
        self.assertIn("Invalid", self.refusal(AuthError).message)
        self.assertEqual(self.directory.all("key"), [])

    def test_what_it_belongs_to_is_disabled_or_deleted(self) -> None:
        """Its limits are gone then, and are not to be got rid of that way."""
        revision = 0
        for state in ("disabled", "deleted"):
            for kind, more in (("team", {"team": "x"}), ("project", {"project": "x"}), ("user", {"user": "x"})):
                revision += 1
                above = Entity(kind, "x", "red", state=state)  # type: ignore[arg-type]
                self.directory.apply(revision, [key(**more), above], [secret()])
                self.assertIn(f"The {kind} of this API key is {state}", self.refusal(PermissionDenied).message)

    def test_two_secrets_are_one_key(self) -> None:
        """The old one until its time is over; it is not kept for a head."""
        other = new().encode()
        self.directory.apply(1, [key()], [secret(expires_at=10_000_000), secret(other)])
        shown = Shown(KEY)
        self.assertIs(self.chain.identify(shown), self.chain.identify(Shown(other)))
        self.assertFalse(shown.lasting)
        self.clock.advance(10)
        self.assertEqual(self.refusal(AuthError).code, "KEY_EXPIRED")
        self.assertEqual(self.chain.identify(Shown(other)).account.key_id, "k")  # type: ignore[union-attr]

    def test_a_key_expires(self) -> None:
        self.directory.apply(1, [key(data={"expires": "1970-01-01T00:00:05Z"})], [secret()])
        self.assertEqual(self.caller().account.key_id, "k")
        self.clock.advance(5)
        self.assertEqual(self.refusal(AuthError).code, "KEY_EXPIRED")

    def test_two_peppers_while_one_is_changed(self) -> None:
        self.directory.apply(1, [key()], [secret(pepper=OLD)])
        self.assertEqual(self.caller().account.key_id, "k")

    def test_a_typing_mistake_is_told(self) -> None:
        self.directory.apply(1, [key()], [secret()])
        self.assertIn("a character of it was changed", self.refusal(AuthError, Shown(KEY[:-8] + b"x" * 8)).message)
        self.assertIn("Invalid API key", self.refusal(AuthError, Shown(new().encode())).message)

    def test_this_machine_is_let_in_until_there_is_a_key(self) -> None:
        local = Shown(peer="127.0.0.1")
        self.assertEqual(self.refusal(StoreUnavailable, local).status, 503)  # nobody knows yet
        self.directory.apply(0, [], [])
        self.assertEqual(self.chain.identify(local).name, "anonymous")  # type: ignore[union-attr]
        self.directory.apply(1, [key()], [secret()])
        self.assertIn("Missing API key", self.refusal(AuthError, local).message)
        self.directory.apply(2, [key(state="deleted")], [])
        self.assertEqual(self.chain.identify(local).name, "anonymous")  # type: ignore[union-attr]
