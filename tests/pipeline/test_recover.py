"""Streams that break after their first words."""

import json
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import Capabilities
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.errors import AnswerDiverged, ConnectFailed, EdgeError, UpstreamCut, VendorRefused
from llmedge.model import Event, EventKind, Usage
from llmedge.pipeline import recover
from llmedge.state.breaker import State
from tests.pipeline.harness import DONE, END, ROLE, Stream, World, chunk, read, said

CUT = UpstreamCut("It broke.")


def stream(*script: Any, **more: Any) -> Any:
    """A step that gives a new stream for each call."""
    worlds: list[World] = []

    def make(call: Any) -> Stream:
        return Stream(worlds[0].clock, *script, **more)

    make.worlds = worlds  # type: ignore[attr-defined]
    return make


GOOD = ([ROLE], [chunk("one ")], [chunk("two ")], [chunk("three")], END)


async def frames_of(reply: Any) -> list[bytes]:
    """All frames a client gets."""
    frames: list[bytes] = []
    while not frames or b"[DONE]" not in frames[-1]:
        frames += [event.frame for event in await reply.read()]
    return frames


class Recovery(SynchronousTestCase):
    def world(self, *vendors: Any, **more: Any) -> World:
        settings = {"hedge": "off", "retry_base": 0.1} | more.pop("settings", {})
        world = World(*vendors, settings=settings, **more)
        for scripts in vendors:
            for script in scripts if isinstance(scripts, list) else [scripts]:
                for step in script:
                    if hasattr(step, "worlds"):
                        step.worlds[:] = [world]
        return world

    def read(self, world: World, seconds: float = 0.0, **more: Any) -> Any:
        asking = world.ask(stream=True, **more)
        if seconds:
            world.pass_time(seconds)
        self.reply = self.successResultOf(asking)
        reading = Deferred.fromCoroutine(read(self.reply))
        if seconds:
            world.pass_time(seconds)
        return reading


class Polled(Recovery):
    def test_left_while_the_client_takes_nothing(self) -> None:
        """Who goes on with the stream was found while nobody polled: it is given up like any other."""
        second = stream([ROLE, chunk("one ")], [chunk("two ")], *GOOD)
        world = self.world((stream([ROLE, chunk("one ")], CUT),), (0.5, second))
        reply = self.successResultOf(world.ask(stream=True))
        reply.on_readable(lambda: None)
        self.assertEqual(said(reply.read_now()), "one ")
        self.assertIsNone(reply.read_now())
        world.pass_time(1)
        reply.abort()
        self.assertEqual(world.attempts(), [("p0", "first", "cut"), ("p1", "splice", "aborted")])
        self.assertTrue(world.at_rest())


class Splicing(Recovery):
    def test_spliced(self) -> None:
        """The client gets one answer, in one piece; the record has both attempts, usage is of the one it got."""
        world = self.world(
            (stream([ROLE, chunk("one ")], [chunk("tw")], CUT),),
            (stream(*GOOD, usage=Usage(5, 6)),),
        )
        self.assertEqual(self.successResultOf(self.read(world)), "one two three")
        self.assertEqual(world.attempts(), [("p0", "first", "cut"), ("p1", "splice", "ok")])
        self.assertEqual(self.reply.usage, Usage(5, 6))
        by = world.record.routing.deciding_attempt
        assert by is not None
        self.assertEqual(by.target.provider, "p1")
        self.assertTrue(world.at_rest())

    def test_who_was_overtaken_goes_on(self) -> None:
        """Of two that were asked the slower one is left; where the other one's stream breaks it is asked anew."""
        world = self.world(
            (1.5, stream([ROLE, chunk("one ")], [chunk("tw")], CUT)),
            [(5.0, stream(*GOOD)), (stream(*GOOD),)],
            settings={"hedge": 1.0, "hedge_ratio": 1.0},
        )
        self.assertEqual(self.successResultOf(self.read(world, 3.0)), "one two three")
        attempts = [("p0", "first", "cut"), ("p1", "hedge", "aborted"), ("p1", "splice", "ok")]
        self.assertEqual(world.attempts(), attempts)

    def test_each_chunk_names_who_wrote_it(self) -> None:
        other = [
            [Event(event.kind, event.frame.replace(b'"up"', b'"down"')) for event in batch]
            for batch in ([ROLE], [chunk("one ")], [chunk("two")], END)
        ]
        world = self.world((stream([ROLE, chunk("one ")], CUT),), (stream(*other),))
        reply = self.successResultOf(world.ask(stream=True))
        frames = self.successResultOf(Deferred.fromCoroutine(frames_of(reply)))
        words = [frame for frame in frames if b'"one ' in frame or b'"two' in frame]
        self.assertEqual([b'"down"' in frame for frame in words], [False, True])

    def test_half_a_character_cannot_be_completed(self) -> None:
        """Who has the first half gets the other from nobody else; between events it is no trouble."""
        half = Event(EventKind.CONTENT, chunk("one @").frame.replace(b"@", rb"\ud83d"))
        rest = Event(EventKind.CONTENT, chunk("@ tw").frame.replace(b"@", rb"\ude00"))
        whole = ([ROLE], [chunk("one \U0001f600 two three")], END)
        world = self.world((stream([ROLE, half], CUT),), (stream(*whole),))
        self.failureResultOf(self.read(world), UpstreamCut)
        world = self.world((stream([ROLE, half, rest], CUT),), (stream(*whole),))
        reply = self.successResultOf(world.ask(stream=True))
        frames = self.successResultOf(Deferred.fromCoroutine(frames_of(reply)))
        said = "".join(json.loads(each[6:])["choices"][0]["delta"].get("content", "") for each in frames[:-1])
        self.assertEqual(said, "one \ud83d\ude00 two three")
        self.assertTrue(world.at_rest())

    def test_what_is_kept_is_bounded(self) -> None:
        """Of all streams together, too; and nothing is kept of those that are over."""
        world = self.world((stream([chunk("one ")], CUT),), (stream(*GOOD),))
        self.assertEqual(self.successResultOf(self.read(world)), "one two three")
        self.reply.abort()
        self.assertEqual(world.route.kept.total, 0)
        self.patch(recover, "KEPT_IN_ALL", 10)
        world = self.world((stream([chunk("one ")], CUT),), (stream(*GOOD),))
        self.failureResultOf(self.read(world), UpstreamCut)
        self.reply.abort()
        self.assertEqual(world.route.kept.total, 0)

    def test_what_is_kept_is_packed(self) -> None:
        """A long stream takes little more than its text, and is completed word by word."""
        words = [f"word {number} " for number in range(4000)]
        script = [[chunk(word)] for word in words]
        world = self.world((stream(*script[:3999], CUT),), (stream(*script, END),))
        reply = self.successResultOf(world.ask(stream=True))
        kept: list[int] = []
        text = self.successResultOf(Deferred.fromCoroutine(read(reply, lambda _: kept.append(world.route.kept.total))))
        self.assertEqual(text, "".join(words))
        self.assertGreater(sum(len(chunk(word).frame) for word in words), 600_000)
        self.assertLess(max(kept), 2 * len(text) + recover.PACKED)
        reply.abort()
        self.assertEqual(world.route.kept.total, 0)

    def test_what_broke_has_said_so_much(self) -> None:
        """Bytes of text, for the books: not of frames, and nothing of who ended well."""
        world = self.world((stream([ROLE, chunk("one "), chunk("t")], CUT),), (stream(*GOOD),))
        self.successResultOf(self.read(world))
        self.assertEqual([each.said for each in world.record.routing.attempts], [5, 0])

    def test_nothing_is_sent_while_it_repeats(self) -> None:
        """And no empty batch either."""
        world = self.world((stream([chunk("one two ")], CUT),), (stream(*GOOD),))
        batches: list[int] = []
        reply = self.successResultOf(world.ask(stream=True))
        text = self.successResultOf(Deferred.fromCoroutine(read(reply, lambda events: batches.append(len(events)))))
        self.assertEqual(text, "one two three")
        self.assertNotIn(0, batches)

    def test_the_second_breaks_too(self) -> None:
        """Then a third is asked; what the client has by then is compared."""
        world = self.world((stream([chunk("one ")], CUT),), (stream([chunk("one two ")], CUT),), (stream(*GOOD),))
        self.assertEqual(self.successResultOf(self.read(world)), "one two three")
        self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "splice", "splice"])
        self.assertTrue(world.at_rest())

    def test_a_different_answer(self) -> None:
        """One explicit error, and the other stream is aborted."""
        world = self.world((stream([chunk("one ")], CUT),), (stream([chunk("uno ")], [chunk("due")]),))
        error = self.failureResultOf(self.read(world), AnswerDiverged).value
        self.assertIn("It broke.", error.message)
        self.assertTrue(world.at_rest())

    def test_nobody_left(self) -> None:
        """The error that broke it, with what came of the others."""
        world = self.world((stream([chunk("one ")], CUT),), (VendorRefused("too busy"),))
        message = self.failureResultOf(self.read(world), EdgeError).value.message
        self.assertIn("It broke.", message)
        self.assertIn("too busy", message)
        self.assertTrue(world.at_rest())

    def test_silence_has_an_end(self) -> None:
        """Who is asked to go on has as long as a call has for its first content, all of them together."""
        world = self.world((stream([chunk("one ")], CUT),), (1e6,), (1e6,))
        reading = self.read(world, seconds=0)
        world.pass_time(29.9, 0.1)
        self.assertNoResult(reading)
        world.pass_time(0.2)
        self.assertIn("Nothing came within 30 s", self.failureResultOf(reading, UpstreamCut).value.message)
        self.assertEqual(world.attempts()[1], ("p1", "splice", "silent"))
        self.assertEqual(len(world.record.routing.attempts), 2)
        self.assertTrue(world.at_rest())

    def test_long_after_the_first_deadline(self) -> None:
        """A stream that breaks after minutes is recovered like any other."""
        world = self.world(
            (stream([chunk("one ")], 500.0, CUT),),
            (0.5, stream(*GOOD)),
            entries=(TargetEntry("p0/x"), TargetEntry("p1/x", max_concurrency=1)),
        )
        reading = self.read(world)
        world.pass_time(501, 0.5)
        self.assertEqual(self.successResultOf(reading), "one two three")
        self.assertTrue(world.at_rest())

    def test_leaving_while_it_is_recovered(self) -> None:
        """A client that leaves ends whoever is asked then."""
        for mode in ("splice", "buffer"):
            world = self.world((stream([chunk("one ")], CUT),), (1e6,), stream_recovery=mode)
            reading = self.read(world)
            self.assertEqual(world.vendors[1].under_way, 1)
            reading.cancel()
            self.failureResultOf(reading, CancelledError)
            self.reply.abort()
            self.assertEqual([each.outcome for each in world.record.routing.attempts], ["cut", "aborted"])
            self.assertTrue(world.at_rest())

    def test_leaving_before_it_is_taken(self) -> None:
        """Who goes on is there, but the client takes nothing, and leaves: it is not left behind."""
        more: list[Stream] = []

        def make(call: Any) -> Stream:
            more.append(Stream(world.clock, [chunk("one ")], 1e6))
            return more[0]

        world = self.world((stream([chunk("one ")], CUT),), (0.5, make))
        reply = self.successResultOf(world.ask(stream=True))
        woken: list[bool] = []
        reply.on_readable(lambda: woken.append(True))
        self.assertEqual((said(reply.read_now()), reply.read_now()), ("one ", None))
        world.pass_time(1)
        self.assertEqual(woken, [True])
        reply.abort()
        self.assertTrue(more[0].aborted)
        self.assertEqual([each.outcome for each in world.record.routing.attempts], ["cut", "aborted"])
        self.assertTrue(world.at_rest())

    def test_the_same_target_again(self) -> None:
        """Only where recovery is asked for by name, at most ``retries`` times."""
        script = [(stream([chunk("one ")], CUT),), (stream([chunk("one two")], CUT),), (stream(*GOOD),)]
        world = self.world(script, stream_recovery="splice")
        reading = self.read(world)
        world.pass_time(1)
        self.assertEqual(self.successResultOf(reading), "one two three")
        world = self.world((stream([chunk("one ")], CUT),), stream_recovery="splice")
        reading = self.read(world)
        world.pass_time(1)
        self.failureResultOf(reading, UpstreamCut)
        self.assertEqual(len(world.record.routing.attempts), 3)
        world = self.world(script)
        self.failureResultOf(self.read(world), UpstreamCut)
        self.assertEqual(len(world.record.routing.attempts), 1)

    def test_who_had_failed_before(self) -> None:
        """Or could not be asked, may be back by the time a stream breaks: asked again, after a pause."""
        down = ConnectFailed("It is down.", cause="refused")
        world = self.world([(down,), (down,), (stream(*GOOD),)], (stream([chunk("one ")], 1.0, CUT),))
        reading = self.read(world)
        world.pass_time(2)
        self.assertEqual(self.successResultOf(reading), "one two three")
        kinds = [(each.target.provider, each.kind) for each in world.record.routing.attempts]
        self.assertEqual(kinds, [("p0", "first"), ("p1", "next"), ("p0", "splice"), ("p0", "splice")])
        self.assertTrue(world.at_rest())
        world = self.world(
            [(down,), (stream(*GOOD),)], (stream([chunk("one ")], 0.3, CUT),), settings={"breaker_failures": 1}
        )
        reading = self.read(world)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        reading = self.read(world)
        self.assertEqual(world.record.routing.skipped[0].why, "breaker: 1 in a row failed")
        world.pass_time(2)
        self.assertEqual(self.successResultOf(reading), "one two three")
        self.assertEqual(len(world.record.routing.attempts), 2)

    def test_who_breaks_it_as_well_is_left(self) -> None:
        """A target that had failed before the stream is asked to go on with it, and once only if that breaks too."""
        world = self.world(
            [(ConnectFailed("is not there"),), (stream([chunk("one ")], CUT),)],
            (stream([chunk("one ")], CUT),),
        )
        self.failureResultOf(self.read(world, 5), UpstreamCut)
        self.assertEqual(world.attempts(), [("p0", "first", "connect"), ("p1", "next", "cut"), ("p0", "splice", "cut")])
        self.assertTrue(world.at_rest())

    def test_who_refuses_to_go_on_is_left(self) -> None:
        """A vendor's 400 after a retry is no reason to ask it again and again."""
        refused = VendorRefused("This model does not support assistant message prefill.", status=400)
        world = self.world([(stream([chunk("one ")], CUT),), (refused,)], stream_recovery="splice")
        self.failureResultOf(self.read(world, 5), UpstreamCut)
        self.assertEqual(world.attempts(), [("p0", "first", "cut"), ("p0", "splice", "client")])
        self.assertTrue(world.at_rest())

    def test_too_long_to_keep(self) -> None:
        """Of a long stream nothing is kept in memory; its break is an error."""
        self.patch(recover, "KEPT", 1000)
        world = self.world((stream([chunk("x" * 2000)], CUT),), (stream(*GOOD),))
        self.failureResultOf(self.read(world), UpstreamCut)
        self.assertEqual(world.vendors[1].calls, [])

    def test_a_break_counts_against_health(self) -> None:
        """A stream that breaks each time opens the breaker, though each one had begun well."""
        world = self.world((stream([chunk("one ")], CUT),), (stream(*GOOD),), settings={"breaker_rate": 0.4})
        for _ in range(10):
            self.successResultOf(self.read(world))
        self.assertIs(world.deployment().breaker.state, State.OPEN)

    def test_off(self) -> None:
        world = self.world((stream([chunk("one ")], CUT),), (stream(*GOOD),), stream_recovery="off")
        self.failureResultOf(self.read(world), UpstreamCut)
        self.assertEqual(world.vendors[1].calls, [])
        self.assertTrue(world.at_rest())

    def test_aborted_after_the_end(self) -> None:
        """Changes nothing."""
        for mode in ("off", "splice", "buffer"):
            world = self.world((stream(*GOOD),), stream_recovery=mode)
            self.successResultOf(self.read(world))
            self.reply.abort()
            self.assertEqual([each.outcome for each in world.record.routing.attempts], ["ok"])
            self.assertTrue(world.at_rest())


class Continuing(Recovery):
    def test_the_answer_so_far(self) -> None:
        """Is the last message, less the white space at its end; what is said twice of that is left out."""
        able = Capabilities(prefill=True)
        world = self.world(
            (stream([ROLE, chunk("one ")], [chunk("two ")], CUT),),
            (stream([ROLE], [chunk(" ")], [chunk("three")], END),),
            stream_recovery="continue",
            capabilities=able,
        )
        self.assertEqual(self.successResultOf(self.read(world)), "one two three")
        (call,) = world.vendors[1].calls
        self.assertTrue(call.continues)
        messages = msgspec.json.decode(call.fields["messages"])
        self.assertEqual(messages[-1], {"role": "assistant", "content": "one two"})
        self.assertEqual(world.attempts()[1], ("p1", "continue", "ok"))
        self.assertTrue(world.at_rest())

    def test_the_length_is_the_whole_answers(self) -> None:
        """What is said already is taken from ``max_tokens``, and counted as written, by the client's usage."""
        counted = b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}\n\n'
        world = self.world(
            (stream([ROLE, chunk("one ")], [chunk("two ")], CUT),),
            (stream([ROLE], [chunk("three")], [chunk(finish="stop"), Event(EventKind.CONTENT, counted), DONE]),),
            stream_recovery="continue",
            capabilities=Capabilities(prefill=True),
        )
        call = world.call(stream=True, fields={"max_tokens": msgspec.Raw(b"10")})
        call.wants_usage = True
        reply = self.successResultOf(Deferred.fromCoroutine(world.route(call)))
        frames = self.successResultOf(Deferred.fromCoroutine(frames_of(reply)))
        (call,) = world.vendors[1].calls
        self.assertEqual(bytes(call.fields["max_tokens"]), b"8")
        self.assertIn(b'"prompt_tokens":10,"completion_tokens":5', b"".join(frames))

    def test_white_space_only(self) -> None:
        """Cannot be said: the answer is asked for again instead."""
        world = self.world(
            (stream([chunk(" ")], CUT),),
            (stream([chunk(" one")], END),),
            stream_recovery="continue",
            capabilities=Capabilities(prefill=True),
        )
        self.assertEqual(self.successResultOf(self.read(world)), " one")
        self.assertEqual(world.attempts()[1], ("p1", "splice", "ok"))


class Buffering(Recovery):
    def test_held_until_it_is_whole(self) -> None:
        """No failure is seen: another answer, whatever it says, is asked for from the beginning."""
        world = self.world(
            (stream([chunk("one ")], CUT),), (stream([chunk("uno ")], [chunk("due")], END),), stream_recovery="buffer"
        )
        self.assertEqual(self.successResultOf(self.read(world)), "uno due")
        self.assertEqual(world.attempts(), [("p0", "first", "cut"), ("p1", "next", "ok")])
        self.assertTrue(world.at_rest())

    def test_longer_than_the_deadline(self) -> None:
        """Which is for the first content; the rest may take as long as a stream may."""
        world = self.world((stream([chunk("one ")], 100.0, [chunk("two")], END),), stream_recovery="buffer")
        reply = self.successResultOf(world.ask(stream=True, seconds=30.0))
        reading = Deferred.fromCoroutine(read(reply))
        world.pass_time(90)
        self.assertNoResult(reading)
        world.pass_time(11)
        self.assertEqual(self.successResultOf(reading), "one two")
        self.assertEqual(world.attempts(), [("p0", "first", "ok")])
        self.assertTrue(world.at_rest())

    def test_the_same_target(self) -> None:
        """After the pause of a retry, as before the first word."""
        world = self.world([(stream([chunk("one ")], CUT),), (stream(*GOOD),)], stream_recovery="buffer")
        reading = self.read(world)
        world.pass_time(0.2)
        self.assertEqual(self.successResultOf(reading), "one two three")
        self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "retry"])
        self.assertTrue(world.at_rest())

    def test_nobody_gives_a_whole_one(self) -> None:
        world = self.world(
            (stream([chunk("one ")], CUT),), models={"other": Model((TargetEntry("p0/y"),))}, stream_recovery="buffer"
        )
        reading = self.read(world)
        world.pass_time(2)
        self.failureResultOf(reading, EdgeError)
        self.assertEqual(len(world.record.routing.attempts), 3)
        self.assertTrue(world.at_rest())

    def test_too_much_to_hold(self) -> None:
        self.patch(recover, "HELD", 1000)
        world = self.world((stream([chunk("x" * 2000)], END),), stream_recovery="buffer")
        self.failureResultOf(self.read(world), EdgeError)
        self.assertTrue(world.at_rest())
