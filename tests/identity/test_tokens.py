"""Who shows a token, and what that one may."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.auth import Auth
from llmedge.entities import Entity
from llmedge.errors import AuthError, PermissionDenied, StoreUnavailable
from llmedge.identity import tokens as tokens_module
from llmedge.identity.chain import LONGEST_KEY, IdentifierChain
from llmedge.identity.configured import identifiers, mode
from llmedge.identity.directory import Directory
from llmedge.identity.jwks import PAUSE, Fetches, KeySource
from llmedge.identity.jwt import Token
from llmedge.identity.refusals import IssuerUnavailable, KeyExpired
from llmedge.identity.roles import ROLES
from llmedge.identity.tokens import KNOWN_FOR, Tokens
from llmedge.model import Account, Caller, Grant
from tests.identity.issuer import KEYS, NOW, OTHER, URL, Fetched, settings, sign
from tests.identity.test_chain import Shown, key


class Tried(SynchronousTestCase):
    """Tokens in force, and an issuer that is asked.

    :ivar checked: how often a token was looked at.
    """

    tokens: Any

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.fetched = Fetched()
        self.checked = 0
        check = Token.check

        def count(*args: Any) -> Any:
            self.checked += 1
            return check(*args)

        self.patch(Token, "check", count)

    def begin(self, directory: Directory | None = None, **more: Any) -> None:
        of = settings(**more)
        self.source = KeySource(of, self.clock, Fetches())
        within = () if directory is None else (directory.place, directory.permissions)
        self.tokens = Tokens([(of, self.source)], self.clock, *within)
        self.source.changed = self.tokens.forget
        self.source.start(self.fetched)

    def caller(self, **said: Any) -> Caller:
        found = self.tokens.identify(Shown(sign(**said)))
        assert isinstance(found, Caller)
        return found


class Identified(Tried):
    def test_a_caller(self) -> None:
        """Named by its subject, as a key of the file without settings; what may end is not kept with its head."""
        self.begin()
        shown = Shown(sign())
        account = Account(f"jwt:{URL}|anna", user="anna")
        self.assertEqual(self.tokens.identify(shown), Caller("anna", account=account, grants=(Grant(ROLES["caller"]),)))
        self.assertFalse(shown.lasting)

    def test_not_for_it(self) -> None:
        """What is no token, or of an issuer that nobody trusts, others may know."""
        self.begin()
        for shown in (None, b"key-a", b"eyJ.key", b"a.b.c", b"eyJa.b.c.d", sign(iss="https://evil.example")):
            self.assertIsNone(self.tokens.identify(Shown(shown)))
        for issuer in (None, 5, [URL], {URL: 1}):
            self.assertIsNone(self.tokens.identify(Shown(sign(iss=issuer))))
        self.assertRaises(AuthError, self.tokens.identify, Shown(b"eyJh.b.c"))

    def test_too_long(self) -> None:
        """It is refused before anybody looks at it, or makes a hash of it."""
        self.begin()
        chain = IdentifierChain([self.tokens])
        long = sign(padding="x" * LONGEST_KEY)
        self.assertIn("bytes", self.assertRaises(AuthError, chain.identify, Shown(long)).message)
        self.assertEqual(self.checked, 0)
        self.assertIsInstance(chain.identify(Shown(sign(padding="x" * 4000))), Caller)

    def test_who_it_is_for(self) -> None:
        self.begin()
        for subject in (None, "", 5, ["anna"], "x" * 256, "an\nna", "\x00"):
            self.assertRaises(AuthError, self.caller, sub=subject)
        self.assertEqual(self.caller(sub="é|" + "x" * 253).name, "é|" + "x" * 253)

    def test_mapping(self) -> None:
        """Roles only as the map has them; teams too, where there is one; models narrow."""
        claims = {"user": "email", "team": "groups", "roles": "realm_access.roles", "models": "llm_models"}
        of = settings().claims.__class__(**claims)
        self.begin(claims=of, team_map={"idp-red": "red"}, role_map={"boss": "admin", "lead": "team_admin"})
        caller = self.caller(
            email="anna@example.com",
            groups=["everybody", "idp-red"],
            realm_access={"roles": ["admin", "boss", "lead", "boss"]},
            llm_models="gpt-* claude-*",
        )
        self.assertEqual(caller.account, Account(f"jwt:{URL}|anna", "red", user="anna@example.com"))
        self.assertEqual(caller.roles, ("caller", "admin", "team_admin"))
        self.assertEqual(caller.grants[2], Grant(ROLES["team_admin"], team="red"))
        self.assertEqual([caller.may_use(each) for each in ("gpt-5", "o3")], [True, False])
        plain = self.caller(groups="other", realm_access=["admin"], roles=["boss"])
        self.assertEqual((plain.account.team, plain.account.user, plain.roles), ("", "", ("caller",)))
        for models in ([], "", 5, {}, [5]):
            self.assertFalse(self.caller(llm_models=models).may_use("gpt-5"), models)

    def test_claims_by_their_whole_name(self) -> None:
        """A name with dots may be one."""
        of = settings().claims.__class__(team="https://example.com/team", roles="scope")
        self.begin(claims=of, roles=(), role_map={"llm": "caller"})
        caller = self.caller(**{"https://example.com/team": "red"}, scope="openid llm")
        self.assertEqual((caller.account.team, caller.scopes), (f"jwt:{URL}|red", frozenset({"inference"})))
        self.assertEqual(self.caller().scopes, frozenset())

    def test_found_good_once(self) -> None:
        """For five minutes, if it is valid that long; by all of its digest."""
        self.begin()
        token = sign(exp=NOW + 400)
        for _ in range(3):
            self.tokens.identify(Shown(token))
        self.assertEqual(self.checked, 1)
        self.clock.advance(KNOWN_FOR)
        self.tokens.identify(Shown(token))
        self.assertEqual(self.checked, 2)
        self.clock.advance(100)
        self.assertEqual(self.tokens.identify(Shown(token)).name, "anna")
        self.assertEqual(self.checked, 3, "it is looked at again: only the clocks' difference is left")
        self.clock.advance(30)
        self.assertRaises(KeyExpired, self.tokens.identify, Shown(token))

    def test_equal_beginnings(self) -> None:
        """Tokens that differ only in their end are two: one that is good does not make the other so."""
        self.begin(claims=settings().claims.__class__(user="late"))
        anna, bob = (sign(padding="x" * 2000, late=late) for late in ("anna", "bob"))
        self.assertEqual(anna[:2700], bob[:2700])
        found = [self.tokens.identify(Shown(each)).account.user for each in (anna, bob, anna)]
        self.assertEqual(found, ["anna", "bob", "anna"])
        head, claims, signature = anna.split(b".")
        for other in (
            b".".join((head, claims, signature[:-8] + b"AAAAAAAA")),
            b".".join((head, claims, bob.split(b".")[2])),
            b".".join((head, bob.split(b".")[1], signature)),
        ):
            self.assertRaises(AuthError, self.tokens.identify, Shown(other))

    def test_bounded(self) -> None:
        """The oldest is looked at again."""
        self.patch(tokens_module, "KNOWN", 2)
        self.begin()
        shown = [Shown(sign(sub=each)) for each in ("a", "b", "c")]
        for each in (0, 1, 2, 2, 1, 0, 0):
            self.tokens.identify(shown[each])
        self.assertEqual((self.checked, len(self.tokens._known)), (4, 2))

    def test_a_key_that_vanished(self) -> None:
        """Its tokens are good until the issuer's keys are fetched again, though they were found good before."""
        self.begin()
        token = Shown(sign(exp=NOW + 9999))
        self.tokens.identify(token)
        self.fetched.publish(OTHER)
        self.clock.advance(601)
        self.assertRaises(AuthError, self.tokens.identify, token)

    def test_a_new_key(self) -> None:
        """The call that shows it waits for the issuer; later ones, and others at once, cause no other question."""
        self.begin()
        self.clock.advance(PAUSE)
        asked = len(self.fetched.asked)
        self.fetched.publish(*KEYS.values(), OTHER)
        flight: Deferred[Any] = Deferred()
        document, self.fetched.answers[f"{URL}/keys"] = self.fetched.answers[f"{URL}/keys"], flight
        shown = Shown(sign(key=OTHER, header={"kid": "other"}))
        calls = [Deferred.fromCoroutine(self.tokens.identify(shown)) for _ in range(3)]
        self.assertEqual(self.tokens.identify(Shown(sign())).name, "anna", "known keys do not wait")
        flight.callback(document)
        self.assertEqual({self.successResultOf(each).name for each in calls}, {"anna"})
        self.assertEqual(len(self.fetched.asked), asked + 2)  # metadata, keys
        self.assertEqual(self.tokens.identify(shown).name, "anna")

    def test_a_flood_of_unknown_keys(self) -> None:
        """At most one question in thirty seconds; who is refused waits two seconds at most."""
        self.begin(jwks_url=f"{URL}/keys")
        self.clock.advance(PAUSE)
        self.fetched.asked.clear()
        self.fetched.answers[f"{URL}/keys"] = Deferred()  # it does not answer
        waiting = []
        refused = 0
        for number in range(3000):
            shown = Shown(sign("ES256", header={"kid": f"unknown-{number}"}))
            try:
                waiting.append(Deferred.fromCoroutine(self.tokens.identify(shown)))
            except AuthError:
                refused += 1
            self.clock.advance(0.0099)
        self.assertEqual(len(self.fetched.asked), 1)
        self.clock.advance(2)
        for each in waiting:
            self.failureResultOf(each, AuthError)
        self.assertEqual(refused + len(waiting), 3000)

    def test_nobody_is_asked_for_what_could_not_be_good(self) -> None:
        self.begin()
        self.clock.advance(PAUSE)
        asked = len(self.fetched.asked)
        for said in ({"algorithm": "RS512", "key": KEYS["RS256"]}, {"iss": "https://evil.example"}):
            try:
                self.tokens.identify(Shown(sign(header={"kid": "unknown"}, **said)))
            except AuthError:
                pass
        self.assertEqual(len(self.fetched.asked), asked)

    def test_the_issuer_is_away(self) -> None:
        """Its tokens go on; where there were never keys, nobody knows, and it is not the token's fault."""
        self.begin()
        self.fetched.answers.clear()
        self.clock.advance(80_000)
        self.assertEqual(self.caller(exp=NOW + 90_000).name, "anna")
        self.begin()
        self.assertRaises(IssuerUnavailable, self.caller)
        self.assertEqual(IssuerUnavailable().status, 503)

    def test_who_leaves_does_not_end_it(self) -> None:
        self.begin()
        self.clock.advance(PAUSE)
        self.fetched.answers[f"{URL}/keys"] = Deferred()
        shown = Shown(sign(header={"kid": "unknown"}))
        one, two = (Deferred.fromCoroutine(self.tokens.identify(shown)) for _ in range(2))
        one.cancel()
        self.failureResultOf(one)
        self.assertNoResult(two)
        self.clock.advance(2)
        self.failureResultOf(two, AuthError)


class InTheStore(Tried):
    """Tokens whose team or user the store knows."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory(self.clock, ())
        self.directory.apply(
            1,
            [
                Entity("organization", "o1", "acme", data={"tpm": 90}),
                Entity("team", "t1", "red", organization="o1", data={"rpm": 5, "models": ["gpt-*"]}),
                Entity("user", "u1", "anna", data={"max_concurrency": 2, "guardrails": ["pii"]}),
                Entity("role", "r1", "auditor", data={"permissions": ["audit:read"]}),
            ],
            [],
        )
        self.directory.changed.append(lambda: self.tokens.forget())
        of = settings().claims.__class__(team="team")
        self.begin(self.directory, claims=of, roles=("caller", "auditor"))

    def test_limits_of_all_it_belongs_to(self) -> None:
        """By name or id; a team that is not known there is the issuer's: what is shared within a team of the same name
        that the file, or another issuer, speaks of is none of theirs."""
        for team in ("red", "t1"):
            caller = self.caller(team=team)
            self.assertEqual([each.id for each in caller.limits], ["user:u1", "team:t1", "organization:o1"])
            self.assertEqual(caller.account, Account(f"jwt:{URL}|anna", "t1", "", "o1", "u1"))
            self.assertFalse(caller.may_use("claude-x"))
            self.assertEqual(caller.guardrails, ("pii",))
        self.assertIn("audit:read", caller.scopes)
        other = self.caller(team="blue", sub="bob")
        self.assertEqual((other.limits, other.account.team, other.account.user), ((), f"jwt:{URL}|blue", "bob"))

    def test_at_once_what_is_changed(self) -> None:
        self.caller(team="red")
        off = Entity("team", "t1", "red", organization="o1", state="disabled", version=2)
        self.directory.apply(2, [off], [])
        self.assertRaises(PermissionDenied, self.caller, team="red")
        self.directory.apply(3, [Entity("team", "t1", "crimson", organization="o1", version=3)], [])
        self.assertEqual(self.caller(team="red").account.team, f"jwt:{URL}|red")
        self.assertEqual(self.caller(team="crimson").account.team, "t1")

    def test_before_it_was_read(self) -> None:
        """Whose budget it is is not known."""
        self.begin(Directory(self.clock, ()))
        self.assertRaises(StoreUnavailable, self.caller)


class InTheChain(SynchronousTestCase):
    def test_this_machine_is_nobody_any_more(self) -> None:
        """An issuer that is trusted ends the time when only callers from here are let in."""
        auth = Auth(jwt=(settings(),))
        self.assertEqual(mode(auth), "keys")
        self.assertRaises(AuthError, identifiers(auth, Clock()).identify, Shown(peer="127.0.0.1"))
        admin = Auth(keys=(key("root", "key-r", roles=("admin",)),))
        self.assertEqual(mode(admin), "loopback")
        self.assertEqual(identifiers(admin, Clock()).identify(Shown(peer="127.0.0.1")), Caller("anonymous"))

    def test_what_is_remembered_is_forgotten_with_it(self) -> None:
        clock = Clock()
        tokens = Tokens([], clock)
        tokens._known[b"digest"] = (9.0, Caller("a"))
        chain = IdentifierChain([tokens])
        epoch = chain.epoch
        chain.forget()
        self.assertEqual((tokens._known, chain.epoch is epoch), ({}, False))
