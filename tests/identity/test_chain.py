from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.config.sections.auth import Auth, Key
from llmedge.config.sections.spiffe import Spiffe
from llmedge.errors import AuthError
from llmedge.identity.chain import Credentials, IdentifierChain
from llmedge.identity.configured import identifiers, mode
from llmedge.identity.roles import ROLES
from llmedge.model import Account, Caller, Grant, Limits
from llmedge.web.context import RequestContext
from llmedge.web.head import RequestHead


class Shown(Credentials):
    """What a request shows."""

    def __init__(
        self,
        key: bytes | None = None,
        names: Sequence[str] = (),
        peer: str | None = "8.8.8.8",
        host: bytes = b"localhost:8080",
        version: bytes = b"HTTP/1.1",
        **headers: bytes,
    ) -> None:
        table = {b"Host": [host]} | {name.encode(): [value] for name, value in headers.items()}
        if key is not None:
            table[b"X-Api-Key"] = [key]
        super().__init__(table, b"/v1/models", peer, lambda: frozenset(names), version)


class Says:
    """An identifier that gives ``answer``, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def identify(self, credentials: Any) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def later(wait: Deferred[Any]) -> Any:
    return await wait


class Chain(SynchronousTestCase):
    def test_the_first_that_knows(self) -> None:
        says = [Says(None), Says(Caller("a")), Says(Caller("b"))]
        self.assertEqual(IdentifierChain(says).identify(Shown()), Caller("a"))
        self.assertEqual([each.asked for each in says], [1, 1, 0])

    def test_nobody_knows(self) -> None:
        chain = IdentifierChain([Says(None), Says(None)])
        for key, message in ((None, "Missing API key"), (b"secret", "Invalid API key")):
            error = self.assertRaises(AuthError, chain.identify, Shown(key))
            self.assertIn(message, error.message)
            self.assertNotIn("secret", error.message)

    def test_no_repr_shows_a_key(self) -> None:
        self.assertNotIn("secret", repr(Shown(b"secret")))
        head = RequestHead(b"GET", b"/", b"HTTP/1.1", {b"X-Api-Key": [b"secret"]})
        self.assertNotIn("secret", repr(head) + repr(RequestContext(0.0, head)))

    def test_one_refuses(self) -> None:
        """Nobody else is asked."""
        says = [Says(AuthError("Expired.")), Says(Caller("a"))]
        self.assertEqual(self.assertRaises(AuthError, IdentifierChain(says).identify, Shown()).message, "Expired.")
        self.assertEqual(says[1].asked, 0)

    def test_one_answers_later(self) -> None:
        """With a Deferred or a coroutine; the next is asked when it does not know, and may answer later too."""
        for first, second, then, found in (
            (Caller("a"), None, [1, 0, 0], "a"),
            (None, Caller("b"), [1, 1, 0], "b"),
            (None, None, [1, 1, 1], "c"),
        ):
            waits: list[Deferred[Any]] = [Deferred(), Deferred()]
            says = [Says(waits[0]), Says(later(waits[1])), Says(Caller("c"))]
            asking: Any = IdentifierChain(says).identify(Shown())
            asked = Deferred.fromCoroutine(asking)
            self.assertNoResult(asked)
            waits[0].callback(first)
            if first is None:
                self.assertNoResult(asked)
                waits[1].callback(second)
            else:
                says[1].answer.close()
            self.assertEqual(self.successResultOf(asked), Caller(found))
            self.assertEqual([each.asked for each in says], then)

    def test_nobody_knows_later(self) -> None:
        wait: Deferred[None] = Deferred()
        asking: Any = IdentifierChain([Says(wait)]).identify(Shown(b"k"))
        asked = Deferred.fromCoroutine(asking)
        wait.callback(None)
        self.failureResultOf(asked, AuthError)

    def test_nobody_waits_any_more(self) -> None:
        wait: Deferred[None] = Deferred()
        asking: Any = IdentifierChain([Says(wait), Says(Caller("a"))]).identify(Shown())
        asked = Deferred.fromCoroutine(asking)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertTrue(wait.called)


def key(name: str, secret: str = "", **more: Any) -> Key:
    return Key(name=name, key=(Secret(secret),) if secret else (), **more)


def filed(name: str) -> Caller:
    """The caller of a key of the file that says nothing else."""
    return Caller(name, account=Account(f"file:{name}"), grants=(Grant(ROLES["caller"]),))


class Configured(SynchronousTestCase):
    def refusal(self, auth: Auth, shown: Shown) -> str:
        return self.assertRaises(AuthError, identifiers(auth, Clock()).identify, shown).message

    def test_keys(self) -> None:
        """By their digest; known callers are kept, with what they may do."""
        auth = Auth(keys=(key("a", "key-a", models=("gpt-*",), rpm=7, guardrails=("pii",)), key("b", "key-b")))
        shown = Shown(b"key-a")
        caller = identifiers(auth, Clock()).identify(shown)
        limits = Limits("key:file:a", "The key 'a'", rpm=7)
        self.assertEqual(caller, attrs.evolve(filed("a"), models=("gpt-*",), limits=(limits,), guardrails=("pii",)))
        self.assertEqual((shown.lasting, mode(auth)), (True, "keys"))
        self.assertIn("Invalid", self.refusal(auth, shown := Shown(b"key-c")))
        self.assertFalse(shown.lasting)

    def test_two_secrets_while_one_is_changed(self) -> None:
        """They are one key: its name, its limits."""
        auth = Auth(keys=(Key(name="a", key=(Secret("new"), Secret("old")), rpm=3),))
        callers = [identifiers(auth, Clock()).identify(Shown(each)) for each in (b"new", b"old")]
        self.assertEqual(callers[0], callers[1])

    def test_a_key_expires(self) -> None:
        """It is known until then, and told so afterwards; it is not kept."""
        clock = Clock()
        auth = Auth(keys=(key("a", "key-a", expires=datetime.fromtimestamp(100, UTC)),))
        chain = identifiers(auth, clock)
        shown = Shown(b"key-a")
        self.assertEqual((chain.identify(shown), shown.lasting), (filed("a"), False))
        clock.advance(100)
        error = self.assertRaises(AuthError, chain.identify, Shown(b"key-a"))
        self.assertEqual((error.code, error.message), ("KEY_EXPIRED", "This API key expired on 1970-01-01."))

    def test_certificates(self) -> None:
        """They stand for a key where none is presented; what a connection shows is not kept."""
        auth = Auth(keys=(key("a", "key-a"), key("c", certificate="robot")))
        shown = Shown(names=("robot", "other"))
        self.assertEqual((identifiers(auth, Clock()).identify(shown), shown.lasting), (filed("c"), False))
        self.assertEqual(identifiers(auth, Clock()).identify(Shown(b"key-a", names=("robot",))), filed("a"))
        self.assertIn("Invalid", self.refusal(auth, Shown(b"wrong", names=("robot",))))
        self.assertIn("Missing", self.refusal(auth, Shown(names=("other",))))

    def test_workloads(self) -> None:
        """Certificates with a SPIFFE ID that a pattern lets in: each a caller of that name, with limits of its own. The
        first pattern that fits counts; a key that is sent goes first, and one of the file with that certificate."""
        auth = Auth(
            keys=(key("a", "key-a"), key("c", certificate="spiffe://example.org/ns/prod/cron")),
            spiffe=(
                Spiffe(id="spiffe://example.org/ns/prod/*", team="prod", rpm=9, models=("gpt-*",), tags=("mesh",)),
                Spiffe(id="spiffe://example.org/*", roles=("viewer",)),
            ),
        )
        chain = identifiers(auth, Clock())
        api = "spiffe://example.org/ns/prod/sa/api"
        shown = Shown(names=("api.example.org", api))
        caller: Any = chain.identify(shown)
        self.assertEqual((caller.name, caller.account), (api, Account(api, "prod", tags=("mesh",))))
        self.assertEqual(caller.limits, (Limits(f"key:{api}", f"The service account '{api}'", rpm=9),))
        self.assertEqual((caller.may_use("gpt-5"), caller.may_use("o3"), shown.lasting), (True, False, False))
        self.assertIs(chain.identify(Shown(names=(api,))), caller)
        other: Any = chain.identify(Shown(names=("spiffe://example.org/ns/test",)))
        self.assertEqual((other.roles, "inference" in other.scopes), (("viewer",), False))
        self.assertEqual(chain.identify(Shown(names=("spiffe://example.org/ns/prod/cron",))), filed("c"))
        self.assertEqual(chain.identify(Shown(b"key-a", names=(api,))), filed("a"))
        for name in ("spiffe://example.org.evil/ns/prod/x", "spiffe://example.com/ns/prod/x", "SPIFFE://example.org/x"):
            self.assertIn("Missing", self.refusal(auth, Shown(names=(name,))))
        self.assertEqual(mode(Auth(spiffe=auth.spiffe)), "keys")

    def test_loopback(self) -> None:
        """No keys: this machine only, directly and by a local name; a UNIX socket is the file system's business."""
        auth = Auth()
        chain = identifiers(auth, Clock())
        self.assertEqual(mode(auth), "loopback")
        for shown in (Shown(peer="127.0.0.1"), Shown(peer="::1", host=b"[::1]:80"), Shown(peer=None, host=b"any.name")):
            self.assertEqual(chain.identify(shown), Caller("anonymous"))
            self.assertFalse(shown.lasting)
        self.assertIn("this machine", self.refusal(auth, Shown()))
        self.assertIn("by a proxy", self.refusal(auth, Shown(peer="127.0.0.1", Forwarded=b"for=x")))
        self.assertIn("by a proxy", self.refusal(auth, Shown(peer=None, Via=b"x")))
        self.assertIn("HTTP/1.0", self.refusal(auth, Shown(peer="127.0.0.1", version=b"HTTP/1.0")))
        self.assertIn("HTTP/1.0", self.refusal(auth, Shown(peer=None, version=b"HTTP/1.0")))
        for host in (
            b"evil.example",
            b"upstream",
            b"llm.example.com:443",
            b"localhost.",
            b"127.0.0.1.nip.io",
            b"10.0.0.1",
        ):
            self.assertIn("name localhost", self.refusal(auth, Shown(peer="127.0.0.1", host=host)))

    def test_off(self) -> None:
        auth = Auth(enabled=False, keys=(key("a", "key-a"),))
        self.assertEqual((identifiers(auth, Clock()).identify(Shown(b"x")), mode(auth)), (Caller("anonymous"), "off"))
