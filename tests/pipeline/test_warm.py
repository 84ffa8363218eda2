"""Calls go where the beginning of their prompt is kept, for as long as it is."""

from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call, RoutingHints
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.errors import VendorUnavailable
from llmedge.operations import Operation
from llmedge.pipeline.build import stages
from llmedge.pipeline.route import Route
from llmedge.pipeline.stage import StageDeps, compose
from llmedge.pipeline.warm import LEAST, KeepWarm, WarmFirst, beginnings, marked_longer
from llmedge.record import PROMPT_AFFINITY
from llmedge.state.warm import Warm
from tests.fakes import settings
from tests.pipeline.harness import ANSWER, DONE, ROLE, Stream, World, chunk

SYSTEM = {"role": "system", "content": "you are a cat. " * 200}


def turns(*said: str, system: Any = SYSTEM) -> dict[str, msgspec.Raw]:
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": each} for number, each in enumerate(said)]
    return {"messages": msgspec.Raw(msgspec.json.encode([system, *messages] if system else messages))}


class Warmed(World):
    """With the stage, and the strategies that know of it."""

    def __init__(self, *vendors: Any, **model: Any) -> None:
        super().__init__(*vendors, **{"prompt_cache": "auto", "strategy": "round_robin"} | model)
        self.deployments.warm = Warm(self.clock)
        self.strategies = WarmFirst(self.deployments, None, self.random)
        self.deps = attrs.evolve(self.deps, strategies=self.strategies)
        parts: Any = StageDeps(*(None,) * 6, warm=self.deployments.warm)  # type: ignore[arg-type]
        self.route = compose([KeepWarm(parts)], Route(self.deps))[Operation.CHAT]  # type: ignore[assignment]


class Affinity(SynchronousTestCase):
    def asked(self, world: World, *said: str, **more: Any) -> str:
        """Who answered."""
        fields = more.pop("fields", None) or turns(*said)
        self.successResultOf(world.ask(fields=fields, **more))
        by = world.record.routing.answered_by
        assert by is not None
        return by.target.provider

    def how(self, world: World) -> Any:
        return world.record.facts.get(PROMPT_AFFINITY)

    def test_with_and_without(self) -> None:
        """With it, who has read the system prompt is asked again; without, whoever's turn it is."""
        for how, expected in (("auto", ["p0"] * 4), ("off", ["p0", "p1", "p0", "p1"])):
            world = Warmed((ANSWER,), (ANSWER,), prompt_cache=how)
            self.assertEqual([self.asked(world, f"question {number}") for number in range(4)], expected)
        self.assertEqual([each.facts for each in world.records], [{}] * 4)

    def test_as_long_as_the_mark_lives(self) -> None:
        """Each use makes it live on. An hour is an hour: by the setting, or by the client's own mark."""
        hour = {
            "role": "system",
            "content": [{"type": "text", "text": SYSTEM["content"], "cache_control": {"ttl": "1h"}}],
        }
        for ttl, seconds, system in (("5m", 300, SYSTEM), ("1h", 3600, SYSTEM), ("5m", 3600, hour)):
            world = Warmed((ANSWER,), (ANSWER,), prompt_cache_ttl=ttl)
            fields = turns("q", system=system)
            for _ in range(3):
                self.assertEqual(self.asked(world, fields=fields), "p0")
                world.clock.advance(seconds - 1)
            self.assertEqual(self.how(world), "kept")
            world.clock.advance(1)
            self.assertEqual(self.asked(world, fields=fields), "p1")  # which has its turn
            self.assertEqual(self.how(world), "new")

    def test_short_prompts(self) -> None:
        """Nobody keeps them: the strategy decides, and nothing is remembered."""
        world = Warmed((ANSWER,), (ANSWER,))
        fields = turns("q", system=None)
        self.assertEqual([self.asked(world, fields=fields) for _ in range(4)], ["p0", "p1"] * 2)
        self.assertIsNone(self.how(world))

    def test_a_conversation(self) -> None:
        """It stays with who answered last in it, as it grows, though others have the system prompt, too."""
        world = Warmed((ANSWER,), (ANSWER,))
        found = beginnings(world.call(fields=turns("a")))
        world.deployments.warm.note(found, "p1/x", 300)
        world.deployments.warm.note(beginnings(world.call(fields=turns("b"))), "p0/x", 300)
        said = ["a"]
        for number in range(4):
            self.assertEqual(self.asked(world, *said), "p1")
            said += ["so", f"and {number}"]
        self.assertEqual({self.asked(world, f"new {number}") for number in range(4)}, {"p0", "p1"})

    def test_given_up(self) -> None:
        """When its target is down, others answer, and go on answering; when it has no place, the next one does."""
        down = VendorUnavailable("is down")
        world = Warmed([(ANSWER,), (down,), (ANSWER,)], (ANSWER,), settings={"retries": 0})
        self.assertEqual(self.asked(world, "a"), "p0")
        self.assertEqual(self.asked(world, "a", "b", "c"), "p1")
        self.assertEqual(self.how(world), "moved")
        self.assertEqual(self.asked(world, "a", "b", "c", "d", "e"), "p1")
        self.assertEqual(self.how(world), "kept")

    def test_an_open_breaker(self) -> None:
        """Who is out is not even asked."""
        world = Warmed((ANSWER,), (ANSWER,))
        self.assertEqual(self.asked(world, "a"), "p0")
        breaker = world.deployment().breaker
        while (ticket := breaker.begin()) is not None:
            ticket.fail()
        self.assertEqual([self.asked(world, "a") for _ in range(3)], ["p1"] * 3)
        self.assertEqual(len(world.vendors[0].calls), 1)

    def test_a_pause(self) -> None:
        """Nor who wants to be left alone."""
        world = Warmed((ANSWER,), (ANSWER,))
        self.assertEqual(self.asked(world, "a"), "p0")
        world.deployment().pacer.pause(60.0, "Retry-After")
        self.assertEqual(self.asked(world, "a"), "p1")

    def test_a_full_one_spreads(self) -> None:
        """What is too much for one target warms the next, and both have the system prompt then."""
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        entries = (TargetEntry("p0/x", max_concurrency=1), TargetEntry("p1/x"))
        world = Warmed([(waits[0], ANSWER), (ANSWER,)], (ANSWER,), entries=entries)
        world.ask(fields=turns("a"))
        world.deployments.warm.note(beginnings(world.call(fields=turns("a"))), "p0/x", 300)
        self.assertEqual(self.asked(world, "b"), "p1")
        waits[0].callback(None)
        self.assertEqual({self.asked(world, f"c{number}") for number in range(4)}, {"p0", "p1"})

    def test_preference_stays(self) -> None:
        """Where targets are not alike, a fallback's warm cache draws no new conversation away from the first; one that
        is under way stays."""
        for strategy in ("priority", "cost"):
            world = Warmed((ANSWER,), (ANSWER,), strategy=strategy)
            world.deployments.warm.note(beginnings(world.call(fields=turns("a"))), "p1/x", 300)
            self.assertEqual(self.asked(world, "a", "b", "c"), "p1", strategy)
            self.assertEqual(self.asked(world, "new"), "p0", strategy)

    def test_no_weight(self) -> None:
        """Who is asked only when the others are out is not asked for having answered then."""
        entries = (TargetEntry("p0/x"), TargetEntry("p1/x", weight=0))
        world = Warmed((ANSWER,), (ANSWER,), entries=entries, strategy="weighted")
        world.deployments.warm.note(beginnings(world.call(fields=turns("a"))), "p1/x", 300)
        self.assertEqual(self.asked(world, "a"), "p0")

    def test_sticky_goes_before(self) -> None:
        world = Warmed((ANSWER,), (ANSWER,), sticky="header:x-session")
        hints = [RoutingHints(header=lambda name, key=str(number): key) for number in range(20)]
        self.assertEqual({self.asked(world, "a", hints=each) for each in hints}, {"p0", "p1"})

    def test_streams(self) -> None:
        """One that has begun has read the prompt, however it ends; a call that failed has not."""
        world = Warmed((lambda call: Stream(world.clock, [ROLE, chunk("a")], [chunk(finish="stop"), DONE]),), (ANSWER,))
        stream: Any = self.successResultOf(world.ask(stream=True, fields=turns("a")))
        stream.abort()
        self.assertEqual(world.deployments.warm.ranks(beginnings(world.call(fields=turns("a")))), {"p0/x": 0})
        world = Warmed((VendorUnavailable("is down"),), settings={"retries": 0})
        self.failureResultOf(world.ask(fields=turns("a")), VendorUnavailable)
        self.assertEqual(world.deployments.warm.ranks(beginnings(world.call(fields=turns("a")))), {})

    def test_a_fallback(self) -> None:
        """A model that another one falls back to is as warm as if it had been asked for."""
        models = {"g": Model((TargetEntry("p1/x"), TargetEntry("p2/x")), prompt_cache="auto", strategy="round_robin")}
        down = (VendorUnavailable("is down"),)
        only = (TargetEntry("p0/x"),)
        world = Warmed(
            down, (ANSWER,), (ANSWER,), models=models, entries=only, fallbacks=("g",), settings={"retries": 0}
        )
        self.assertEqual(len({self.asked(world, "a") for _ in range(4)}), 1)


class Beginnings(SynchronousTestCase):
    def found(self, dialect: str, **fields: Any) -> tuple[bytes, ...]:
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
        call: Call = World((ANSWER,)).call(dialect=dialect)
        return beginnings(call.changed(fields=raw))

    def test_each_dialect(self) -> None:
        """The conversation's own, and what others share with it: of two conversations, and of one that has grown."""
        long, a, b = SYSTEM["content"], "a question", "another one"

        def chat(said: str, *more: str) -> Any:
            return [SYSTEM, {"role": "user", "content": said}, *({"role": "user", "content": each} for each in more)]

        def contents(said: str, *more: str) -> Any:
            return [{"role": "user", "parts": [{"text": each}]} for each in (said, *more)]

        instruction = {"parts": [{"text": long}]}
        for dialect, of in (
            ("openai_chat", lambda *said: {"messages": chat(*said)}),
            ("anthropic", lambda *said: {"system": long, "messages": chat(*said)[1:]}),
            ("openai_responses", lambda *said: {"instructions": long, "input": chat(*said)[1:]}),
            ("openai_responses", lambda *said: {"input": chat(*said)}),
            ("gemini", lambda *said: {"systemInstruction": instruction, "contents": contents(*said)}),
            ("gemini", lambda *said: {"system_instruction": instruction, "contents": contents(*said)}),
        ):
            first, other, grown = (self.found(dialect, **of(*said)) for said in ((a,), (b,), (a, b)))
            self.assertEqual(len(first), 2, dialect)
            self.assertEqual(first, grown, dialect)
            self.assertNotEqual(first[0], other[0], dialect)
            self.assertEqual(first[1], other[1], dialect)
            tools = self.found(dialect, tools=[{"name": "f"}], **of(a))
            self.assertTrue(set(tools).isdisjoint(first), dialect)

    def test_marks_do_not_matter(self) -> None:
        """Clients mark what was said last: in the next turn the mark is elsewhere, and what was a list is a text."""
        mark = {"cache_control": {"type": "ephemeral"}}
        marked = [{"role": "user", "content": [{"type": "text", "text": "hi", **mark}]}]
        plain = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
        system = SYSTEM["content"]
        self.assertEqual(
            self.found("anthropic", system=system, messages=marked),
            self.found("anthropic", system=system, messages=plain),
        )

    def test_lengths(self) -> None:
        """Of what is too short to be kept there is none; a long question is a beginning by itself, and no other's."""
        least = "x" * LEAST
        for count, messages in (
            (0, [{"role": "user", "content": "x"}]),
            (1, [{"role": "user", "content": least}]),
            (1, [{"role": "system", "content": "x"}, {"role": "user", "content": least}]),
            (2, [{"role": "system", "content": least}, {"role": "user", "content": "x"}]),
            (2, [{"role": "system", "content": least}]),
        ):
            self.assertEqual(len(self.found("openai_chat", messages=messages)), count)
        self.assertEqual(len(self.found("openai_text", prompt=least)), 1)
        self.assertNotEqual(self.found("openai_text", prompt=least), self.found("openai_text", prompt=least + "y"))

    def test_odd_bodies(self) -> None:
        """They have beginnings like others: their vendor says what is wrong with them."""
        for odd in (["x" * LEAST], [{"role": 3, "content": "x" * LEAST}], {"a": "x" * LEAST}, [[], "x" * LEAST]):
            self.assertEqual(len(self.found("openai_chat", messages=odd)), 1)
        surrogate = [{"role": "user", "content": [{"type": "image", "text": 3}, "x" * LEAST, None]}]
        self.assertEqual(len(self.found("anthropic", messages=surrogate)), 1)

    def test_marked_longer(self) -> None:
        """By marks for an hour, wherever they are."""
        mark = {"type": "ephemeral", "ttl": "1h"}
        for fields, longer in (
            ({"cache_control": mark}, True),
            ({"tools": [{"cache_control": mark}]}, True),
            ({"system": [{"cache_control": mark}]}, True),
            ({"messages": [{"content": [{"cache_control": {"type": "ephemeral", "ttl": "5m"}}]}]}, False),
        ):
            raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
            call = World((ANSWER,)).call(dialect="anthropic").changed(fields=raw)
            self.assertEqual(marked_longer(call), longer, fields)


class Built(SynchronousTestCase):
    def test_only_where_it_is_on(self) -> None:
        """The stage is the innermost, and not there where no model has it."""
        toml = '[providers.m]\ndialect = "mock"\n[models.a]\ntargets = ["m/x"]\n'
        self.assertNotIn(KeepWarm, stages(settings(toml)))
        self.assertIs(stages(settings(toml + 'prompt_cache = "auto"\n'))[-1], KeepWarm)
