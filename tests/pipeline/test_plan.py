"""Where a call goes, after what, and what is said when nobody is left."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import RoutingHints
from llmedge.config.capabilities import Capabilities
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.errors import (
    ConnectFailed,
    EdgeError,
    TargetBusy,
    Unsupported,
    VendorFailed,
    VendorLacks,
    VendorRateLimited,
    VendorRefused,
    VendorUnavailable,
)
from llmedge.operations import Operation
from llmedge.record import FALLBACK
from llmedge.streams import WholeStream
from tests.pipeline.harness import ANSWER, END, World, chunk

DOWN = ConnectFailed("It is down.", cause="refused")
TOO_LONG = VendorRefused("too long", code="context_length_exceeded")


def model(target: str, **more: Any) -> Model:
    return Model((TargetEntry(target),), **more)


class Fallbacks(SynchronousTestCase):
    def test_in_order(self) -> None:
        """The model's targets, then its fallbacks, then theirs; a target is asked once."""
        world = World(
            (DOWN,),
            (DOWN,),
            (DOWN,),
            (ANSWER,),
            entries=(TargetEntry("p0/x"),),
            fallbacks=("a", "b"),
            models={
                "a": model("p1/x", fallbacks=("c",)),
                "b": Model((TargetEntry("p0/x"), TargetEntry("p2/x"))),
                "c": model("p3/x"),
            },
        )
        self.successResultOf(world.ask())
        found = [(each.target.provider, each.kind) for each in world.record.routing.attempts]
        self.assertEqual(found, [("p0", "first"), ("p1", "fallback"), ("p2", "fallback"), ("p3", "fallback")])
        self.assertEqual(world.record.facts[FALLBACK], "c")

    def test_in_a_circle(self) -> None:
        """Models that fall back on each other end."""
        world = World(
            (DOWN,),
            (DOWN,),
            entries=(TargetEntry("p0/x"),),
            fallbacks=("a",),
            models={"a": model("p1/x", fallbacks=("m",))},
            settings={"retries": 0},
        )
        self.failureResultOf(world.ask(), ConnectFailed)
        self.assertEqual(len(world.record.routing.attempts), 2)
        self.assertTrue(world.at_rest())

    def test_not_wanted(self) -> None:
        """x-llmedge-no-fallback: the model's own targets only."""
        models = {"a": model("p1/x")}
        for reply in (DOWN, TOO_LONG):
            world = World(
                (reply,),
                (ANSWER,),
                entries=(TargetEntry("p0/x"),),
                models=models,
                fallbacks=("a",),
                context_fallbacks=("a",),
                settings={"retries": 0},
            )
            self.failureResultOf(world.ask(hints=RoutingHints(no_fallback=True)), EdgeError)
            self.assertEqual(world.vendors[1].calls, [])

    def test_tools(self) -> None:
        """A target that cannot call them is not asked to. Where none can, that is the request's fault for ever."""
        world = World((ANSWER,), (ANSWER,), models={"a": model("p1/x")}, capabilities=Capabilities(tools=False))
        for field in ("tools", "functions"):
            error = self.failureResultOf(world.ask(fields={field: b'[{"type":"function"}]'}), Unsupported).value
            self.assertEqual((error.status, error.param, error.retry_after), (400, field, None))
            self.assertIs(error.should_retry, False)
            self.assertEqual({each.why for each in world.record.routing.skipped}, {"cannot call tools"})
        self.successResultOf(world.ask(fields={"tools": b"[]"}))

    def test_out_for_now(self) -> None:
        """Beside a target that never could, one that only cannot now makes it a matter of time."""
        entries = (TargetEntry("p0/x"), TargetEntry("p1/x", tags=("fast",)))
        world = World((VendorUnavailable("away", retry_after=60.0),), (ANSWER,), entries=entries)
        tags = RoutingHints(tags=frozenset({"fast"}), retries=0)
        world.deployment("p1/x").pacer.pause(60.0, "Retry-After")
        error = self.failureResultOf(world.ask(hints=tags), VendorRateLimited).value
        self.assertEqual((error.retry_after, error.should_retry), (60.0, None))

    def test_what_one_cannot_say(self) -> None:
        """It is the answer where nobody else is left; not where another one is out, or was busy, or failed."""
        unsaid = Unsupported("It cannot be said.", param="seed")
        world = World((unsaid,), (unsaid,))
        self.assertIs(self.failureResultOf(world.ask(), Unsupported).value.should_retry, False)
        world = World((unsaid,), (ANSWER,), settings={"retries": 0, "retry_after_max": 5})
        world.deployment("p1/x").pacer.pause(60.0, "Retry-After")
        self.assertEqual(self.failureResultOf(world.ask(), VendorRateLimited).value.retry_after, 60.0)
        for other in (TargetBusy("is full"), DOWN):
            for vendors in (((other,), (unsaid,)), ((unsaid,), (other,))):
                world = World(*vendors, settings={"retries": 0})
                error = self.failureResultOf(world.ask(), EdgeError).value
                self.assertIs(type(error), type(other))
                self.assertIsNone(error.should_retry)


class ContextLength(SynchronousTestCase):
    def test_only_larger_windows(self) -> None:
        """Of the targets left, then context_fallbacks; ordinary fallbacks are not for that."""
        world = World(
            (TOO_LONG,),
            (ANSWER,),
            (ANSWER,),
            entries=(TargetEntry("p0/x"),),
            fallbacks=("small",),
            context_fallbacks=("large",),
            models={"small": model("p1/x"), "large": model("p2/x")},
            capabilities=Capabilities(context=1000),
        )
        self.successResultOf(world.ask())
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p2"])
        self.assertEqual(world.record.facts[FALLBACK], "large")

    def test_a_fallback_of_unknown_window(self) -> None:
        """Is tried, once, where there is nothing better; what the client is told is what the first target said."""
        for last in (ANSWER, VendorRefused("that is too long", code="context_length_exceeded")):
            known = Model((TargetEntry("p1/x"),), capabilities=Capabilities(context=900))
            world = World(
                (TOO_LONG,),
                (ANSWER,),
                (last,),
                (ANSWER,),
                entries=(TargetEntry("p0/x"),),
                fallbacks=("known", "unknown", "other"),
                models={"known": known, "unknown": model("p2/x"), "other": model("p3/x")},
                capabilities=Capabilities(context=1000),
            )
            asking = world.ask()
            if last is ANSWER:
                self.successResultOf(asking)
            else:
                self.assertIs(self.failureResultOf(asking, VendorRefused).value, TOO_LONG)
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p2"])

    def test_those_of_a_fallback(self) -> None:
        """A fallback's own context_fallbacks hold where its window was too small; they may name each other."""
        for first, option in ((DOWN, "fallbacks"), (TOO_LONG, "context_fallbacks")):
            world = World(
                (first,),
                (TOO_LONG,),
                (ANSWER,),
                entries=(TargetEntry("p0/x"),),
                models={
                    "small": model("p1/x", context_fallbacks=("m", "large")),
                    "large": model("p2/x", context_fallbacks=("small",)),
                },
                settings={"retries": 0},
                **{option: ("small",)},
            )
            self.successResultOf(world.ask())
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1", "p2"])
            self.assertEqual(world.record.facts[FALLBACK], "large")

    def test_a_fallback_too_small(self) -> None:
        """Those behind it are asked; what went wrong first is told first where nobody answers."""
        for right in (True, False):
            too_long = (VendorRefused("too long", code="context_length_exceeded"),)
            world = World(
                (DOWN,),
                too_long,
                (ANSWER,) if right else too_long,
                entries=(TargetEntry("p0/x"),),
                fallbacks=("small", "big"),
                models={"small": model("p1/x"), "big": model("p2/x")},
                settings={"retries": 0},
            )
            asking = world.ask()
            if right:
                self.successResultOf(asking)
            else:
                message = self.failureResultOf(asking, VendorRefused).value.message
                self.assertLess(message.index(DOWN.message), message.index("too long"))
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1", "p2"])

    def test_said_behind_a_status_of_200(self) -> None:
        """It is never asked again, and only who has a larger window."""
        for stream in (False, True):
            failed = VendorFailed("failed: longer than the context length", cause="error_event")
            world = World(
                (failed,),
                (ANSWER,),
                (WholeStream([chunk("a"), *END], None) if stream else ANSWER,),
                entries=(TargetEntry("p0/x"), TargetEntry("p1/x")),
                context_fallbacks=("large",),
                models={"large": model("p2/x")},
                capabilities=Capabilities(context=1000),
            )
            self.successResultOf(world.ask(stream))
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p2"])

    def test_nobody_has_one(self) -> None:
        """The client gets the vendor's words as they are, and nobody is blamed."""
        world = World((TOO_LONG,), (ANSWER,), capabilities=Capabilities(context=1000))
        self.assertIs(self.failureResultOf(world.ask(), VendorRefused).value, TOO_LONG)
        self.assertEqual(world.vendors[1].calls, [])

    def test_the_larger_one_fails(self) -> None:
        """It is asked again; those whose window is too small are not."""
        world = World(
            (DOWN,),
            (TOO_LONG,),
            [(DOWN,), (ANSWER,)],
            entries=(TargetEntry("p0/x"), TargetEntry("p1/x")),
            context_fallbacks=("large",),
            models={"large": model("p2/x")},
        )
        asking = world.ask()
        world.pass_time(1)
        self.successResultOf(asking)
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1", "p2", "p2"])


class BeforeAFallback(SynchronousTestCase):
    """Another model is not the same: what is over at once is waited for."""

    def asked(self, *first: Any, **settings: Any) -> tuple[list[str], float]:
        """Who was asked, and how long it took, where the first target's tries come to ``first``."""
        world = World(
            [(each,) for each in first],
            (ANSWER,),
            entries=(TargetEntry("p0/x"),),
            fallbacks=("a",),
            models={"a": model("p1/x")},
            settings=settings,
        )
        self.world = world
        asking = world.ask()
        while not asking.called:
            world.clock.advance(0.01)
        self.successResultOf(asking)
        self.assertTrue(world.at_rest())
        return [each.target.provider for each in world.record.routing.attempts], world.clock.seconds()

    def test_what_is_over_at_once(self) -> None:
        """A first 500, 502, 503 or reset: once, within a quarter of a second."""
        for cause in ("status_500", "status_502", "status_503", "reset"):
            failed = VendorFailed("It failed.", cause=cause)
            self.assertEqual(self.asked(failed, ANSWER)[0], ["p0", "p0"], cause)
            asked, seconds = self.asked(failed)
            self.assertEqual(asked, ["p0", "p0", "p1"], cause)
            self.assertLessEqual(seconds, 0.27)

    def test_what_is_not(self) -> None:
        for cause in ("status_504", "refused", "dns", "malformed", "silent", "credentials"):
            self.assertEqual(self.asked(VendorFailed("It failed.", cause=cause)), (["p0", "p1"], 0.0), cause)

    def test_retry_after(self) -> None:
        """Two seconds at most, or as the configuration says; that it does not say is no reason to wait."""
        for after, most, waits in ((2.0, 2.0, True), (2.1, 2.0, False), (0.6, 0.5, False), (None, 2.0, False)):
            refused = VendorRateLimited("slow down", retry_after=after)
            asked, seconds = self.asked(refused, ANSWER, retry_before_fallback=most)
            self.assertEqual(asked, ["p0", "p0"] if waits else ["p0", "p1"], (after, most))
            self.assertLess(abs(seconds - (after if waits and after else 0.0)), 0.011)
            again, _ = self.asked(refused, retry_before_fallback=most)
            self.assertEqual(again, ["p0", "p0", "p1"] if waits else ["p0", "p1"])  # it is waited for once

    def test_who_comes_meanwhile(self) -> None:
        """Waits in the queue of the model that was asked for."""
        self.asked(VendorRateLimited("slow down", retry_after=1.0), ANSWER)
        world = self.world
        world.deployment().pacer.pause(1.0, "Retry-After")
        asking = world.ask()
        self.assertNoResult(asking)
        world.pass_time(1.05)
        self.successResultOf(asking)
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0"])

    def test_off(self) -> None:
        """Without retries, where so configured, and for sounds; and a breaker that has opened is not waited for."""
        failed = VendorFailed("It failed.", cause="status_500")
        for settings in ({"retries": 0}, {"retry_before_fallback": 0.0}, {"breaker_failures": 1}):
            self.assertEqual(self.asked(failed, **settings)[0], ["p0", "p1"], settings)
        world = World(
            (failed,), (ANSWER,), entries=(TargetEntry("p0/x"),), fallbacks=("a",), models={"a": model("p1/x")}
        )
        call = world.call()
        call.operation = Operation.AUDIO_SPEECH
        self.successResultOf(Deferred.fromCoroutine(world.route(call)))
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1"])

    def test_siblings_come_first(self) -> None:
        world = World(
            (VendorFailed("It failed.", cause="status_500"),),
            (ANSWER,),
            (ANSWER,),
            entries=(TargetEntry("p0/x"), TargetEntry("p1/x")),
            fallbacks=("a",),
            models={"a": model("p2/x")},
        )
        self.successResultOf(world.ask())
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1"])


class RetryAfter(SynchronousTestCase):
    def test_waited_for(self) -> None:
        """Where nobody else is left, it is short enough and fits: Retry-After is heeded."""
        world = World([(VendorRateLimited("slow down", retry_after=4.0),), (ANSWER,)])
        asking = world.ask()
        world.clock.advance(3.9)
        self.assertEqual(len(world.vendors[0].calls), 1)
        world.clock.advance(0.1)
        self.successResultOf(asking)
        self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "retry"])

    def test_too_long(self) -> None:
        """The client is told, at once."""
        world = World((VendorRateLimited("slow down", retry_after=6.0),))
        self.assertEqual(self.failureResultOf(world.ask(), VendorRateLimited).value.retry_after, 6.0)

    def test_elsewhere_first(self) -> None:
        """Nobody waits while another target is left."""
        world = World((VendorRateLimited("slow down", retry_after=1.0),), (ANSWER,))
        self.successResultOf(world.ask())
        self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "next"])

    def test_all_cool_down(self) -> None:
        """Calls that come meanwhile get a 429 and the time, not a 503."""
        world = World(*[(VendorRateLimited("slow down", retry_after=after),) for after in (60.0, 90.0)])
        self.failureResultOf(world.ask(), VendorRateLimited)
        error = self.failureResultOf(world.ask(), VendorRateLimited).value
        self.assertEqual(error.retry_after, 60.0)
        self.assertEqual([len(vendor.calls) for vendor in world.vendors], [1, 1])
        self.assertEqual(world.record.routing.attempts, [])

    def test_who_comes_meanwhile(self) -> None:
        """Waits in the queue where nobody else is left, instead of getting a 429 that is no news any more; those who
        waited do not come all at once."""
        world = World([(VendorRateLimited("slow down", retry_after=2.0),), (0.3, ANSWER)])
        asking = [world.ask(caller=f"c{number}") for number in range(8)]
        world.pass_time(1.9)
        self.assertEqual(len(world.vendors[0].calls), 1)
        world.pass_time(0.15)
        self.assertEqual(len(world.vendors[0].calls), 2)
        world.pass_time(1.2)
        for each in asking:
            self.successResultOf(each)
        self.assertEqual(len(world.vendors[0].calls), 9)
        self.assertTrue(world.at_rest())

    def test_some_are_out(self) -> None:
        """A 503 that names each reason."""
        world = World(
            (VendorUnavailable("away", retry_after=60.0),), (DOWN,), settings={"retries": 0, "breaker_failures": 1}
        )
        self.failureResultOf(world.ask(), EdgeError)
        error = self.failureResultOf(world.ask(), TargetBusy).value
        self.assertIn("p0/x (paused", error.message)
        self.assertIn("p1/x (breaker: 1 in a row failed)", error.message)


class Recovering(SynchronousTestCase):
    def test_who_could_not_be_asked_at_first(self) -> None:
        """When the others fail, those whose breaker was open are asked as soon as it lets them."""
        world = World([(DOWN,), (ANSWER,)], (VendorFailed("no", cause="status_504"),), settings={"breaker_failures": 1})
        self.failureResultOf(world.ask(hints=RoutingHints(retries=0)), EdgeError)
        world.clock.advance(0.1)
        world.deployment("p1/x").breaker._close()
        asking = world.ask()
        world.pass_time(1.2)
        self.successResultOf(asking)
        found = [(each.target.provider, each.kind) for each in world.record.routing.attempts]
        self.assertEqual(found, [("p1", "first"), ("p0", "next")])
        self.assertTrue(world.at_rest())


LACKS = VendorLacks("does not serve this model", cause="unserved", status=404).of("p0")


class Unserved(SynchronousTestCase):
    def test_left_alone_for_minutes(self) -> None:
        """Who has not got the model is not asked for it again so soon, by nobody; that is no bad health."""
        world = World([(LACKS,), (ANSWER,)], (ANSWER,))
        for passed, asked in ((0.0, ["p0", "p1"]), (299.0, ["p1"]), (2.0, ["p0"]), (0.0, ["p0"])):
            world.clock.advance(passed)
            self.successResultOf(world.ask())
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], asked)
            if asked == ["p1"]:
                self.assertEqual([each.why for each in world.record.routing.skipped], ["has not got the model"])
        self.assertEqual(world.deployment().breaker.failing(world.clock.seconds()), 0.0)
        self.assertTrue(world.at_rest())

    def test_nobody_else_is_left(self) -> None:
        """Then it is asked each time, so that somebody says so; one of several is enough."""
        world = World((LACKS,), settings={"retries": 2})
        for _ in range(3):
            self.assertIs(self.failureResultOf(world.ask(), VendorLacks).value, LACKS)
            self.assertEqual(len(world.record.routing.attempts), 1)
        world = World((LACKS,), (LACKS,))
        for asked in (2, 1, 1):
            self.assertEqual(self.failureResultOf(world.ask(), VendorLacks).value.status, 404)
            self.assertEqual(len(world.record.routing.attempts), asked)

    def test_it_has_it_after_all(self) -> None:
        """An answer shows it, and a reload may have mended it."""
        for reload in (True, False):
            world = World([(LACKS,), (ANSWER,)], (ANSWER,), models={"alone": model("p0/x")})
            self.successResultOf(world.ask())
            if reload:
                world.deployments.configure(world.settings, {})
            else:
                self.successResultOf(world.ask(model="alone"))
            self.successResultOf(world.ask())
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0"])

    def test_of_one_operation(self) -> None:
        """Who cannot write completions, or only answers Responses, is asked for chats all the same."""
        for other in ({"operation": Operation.TEXT}, {"dialect": "openai_responses"}):
            world = World([(LACKS,), (ANSWER,)], (ANSWER,))
            call = world.call().changed(**other)
            self.successResultOf(Deferred.fromCoroutine(world.route(call)))
            self.successResultOf(world.ask())
            self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0"])

    def test_others_that_fail(self) -> None:
        """What another one failed of says more; nobody goes back to who has not got it."""
        down = ConnectFailed("It is down.", cause="refused")
        world = World((LACKS,), [(down,), (down,), (ANSWER,)])
        asking = world.ask(hints=RoutingHints(retries=0))
        error = self.failureResultOf(asking, ConnectFailed).value
        self.assertIn("does not serve this model", error.message)
        asking = world.ask()
        world.pass_time(2.0)
        self.successResultOf(asking)
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p1", "p1"])

    def test_one_that_pauses(self) -> None:
        """Is waited for rather than that one without the model is asked."""
        world = World((LACKS,), [(VendorRateLimited("slow down", retry_after=2.0),), (ANSWER,)])
        asking = world.ask()
        world.pass_time(2.2)
        self.successResultOf(asking)
        self.assertEqual([each.target.provider for each in world.record.routing.attempts], ["p0", "p1", "p1"])


class FallbackOn(SynchronousTestCase):
    def test_statuses(self) -> None:
        """A refusal of one of them is asked elsewhere, by model or for all; a model may have none."""
        refused = VendorRefused("It is wrong.", status=422, code="x", param="y")
        for settings, more, asked in (
            ({}, {}, 1),
            ({"fallback_on": (422,)}, {}, 2),
            ({"fallback_on": (400,)}, {}, 1),
            ({}, {"fallback_on": (400, 422)}, 2),
            ({"fallback_on": (422,)}, {"fallback_on": ()}, 1),
        ):
            world = World((refused,), (ANSWER,), settings=settings, **more)
            asking = world.ask()
            if asked == 2:
                self.successResultOf(asking)
                self.assertEqual(world.attempts(), [("p0", "first", "fallback_on"), ("p1", "next", "ok")])
            else:
                self.assertIs(self.failureResultOf(asking, VendorRefused).value, refused)

    def test_nobody_takes_it(self) -> None:
        """The client gets the refusal as it is; nobody is asked twice, and nobody is sick."""
        refused = VendorRefused("It is wrong.", status=422, code="x", param="y", details={"provider": "p0"})
        refused.more, refused.should_retry = {"hint": 1}, True
        world = World((refused,), (refused,), settings={"fallback_on": (422,)})
        error = self.failureResultOf(world.ask(), EdgeError).value
        self.assertEqual((error.body(), error.status, error.should_retry), (refused.body(), 422, True))
        self.assertEqual(len(world.record.routing.attempts), 2)
        self.assertEqual(world.deployment().breaker.failing(world.clock.seconds()), 0.0)

    def test_a_filter_and_a_window(self) -> None:
        """What a vendor's filter refused is asked elsewhere too; a prompt that is too long goes to larger windows."""
        filtered = VendorRefused("no", code="content_filter")
        world = World((filtered,), (ANSWER,), settings={"fallback_on": (400,)})
        self.successResultOf(world.ask())
        world = World((TOO_LONG,), (ANSWER,), settings={"fallback_on": (400,)}, capabilities=Capabilities(context=9))
        self.assertIs(self.failureResultOf(world.ask(), VendorRefused).value, TOO_LONG)
