"""Questions asked in other words: served only where that was shown to be right, and watched from then on."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.audit import is_proven
from llmedge.errors import ConnectFailed
from llmedge.record import CACHE_LEVEL, CACHE_LIKENESS
from tests.pipeline.meaning import Meaning, whole

THINGS = [f"{''.join(each)}ox" for each in product("bdfgklmnprstvz", "aiou", "bdklmnrst")]
"""Words that no language has."""
PROVEN = 14
"""Comparisons without a wrong one that show that at most one in five is."""


def one(thing: str) -> str:
    return f"How do I renew the {thing}?"


def other(thing: str) -> str:
    return f"What are the steps to renew the {thing}?"


def third(thing: str) -> str:
    return f"Could you tell me how to renew the {thing}?"


def about(question: str) -> str:
    """What it asks for."""
    return question.rstrip("?").split()[-1]


def say(question: str) -> str:
    return f"Take the {about(question)} to the office."


def judge(asked: str) -> str:
    """Knows what is the same: a question of the same thing, an answer that names it."""
    if "<fresh>" in asked:
        fresh, stored = asked.split("<fresh>")[1].split("</fresh>")[0], asked.split("<stored>")[1].split("</stored>")[0]
        return "Yes." if fresh == stored else "No."
    first, second = asked.split("<first>")[1].split("</first>")[0], asked.split("<second>")[1].split("</second>")[0]
    return "yes" if about(first) == about(second) else "no"


def prove(meaning: Meaning, count: int = PROVEN, start: int = 0) -> None:
    """Ask for so many things in two ways."""
    for thing in THINGS[start : start + count]:
        meaning.ask(one(thing))
        meaning.ask(other(thing))


class Proving(SynchronousTestCase):
    def test_shadow_serves_nothing(self) -> None:
        """And knows what would have been right."""
        meaning = Meaning(say, mode="shadow", wrong=0.2)
        prove(meaning, PROVEN + 3)
        self.assertEqual((meaning.standing(), meaning.how), ((PROVEN + 3, 0), "MISS"))
        self.assertEqual(meaning.asked, 2 * (PROVEN + 3))
        (audit,) = meaning.state.standing()["audits"]
        self.assertEqual((audit["rule"], audit["serving"], audit["scope"]), ("strict", True, "key:c"))

    def test_serves_what_is_proven(self) -> None:
        """Not one comparison earlier. The answer says how it came, costs nothing, and is kept under no other name."""
        meaning = Meaning(say, mode="strict", wrong=0.2)
        prove(meaning, PROVEN - 1)
        meaning.ask(third(THINGS[0]))
        self.assertEqual(meaning.how, "MISS")
        self.assertEqual(meaning.standing(), (PROVEN, 0))
        asked, kept = meaning.asked, len(meaning.cache.memory)
        self.assertEqual(meaning.ask(third(THINGS[1])), say(THINGS[1]))
        self.assertEqual((meaning.how, meaning.asked), ("SEMANTIC strict", asked))
        record = meaning.world.record
        self.assertEqual((record.accounting.cost, record.facts[CACHE_LEVEL]), (0, "semantic"))
        self.assertGreater(record.facts[CACHE_LIKENESS], 0.5)
        assert record.accounting.spared is not None
        self.assertEqual(record.accounting.spared.output, 5)
        self.assertEqual(len(meaning.cache.memory), kept)
        meaning.ask(third(THINGS[1]))
        self.assertEqual(meaning.how, "SEMANTIC strict", "and not an exact hit, which nobody would compare")
        meaning.ask(one(THINGS[1]))
        self.assertEqual(meaning.how, "HIT")

    def test_a_share_is_asked_all_the_same(self) -> None:
        """Its client has the fresh answer, and the stored one is compared."""
        meaning = Meaning(say, mode="strict", wrong=0.2, chance=0.019)
        prove(meaning)
        meaning.ask(third(THINGS[0]))
        self.assertEqual((meaning.how, meaning.standing()), ("MISS", (PROVEN + 1, 0)))

    def test_pauses(self) -> None:
        """When what was right is wrong now: once the bound does not hold any more, nothing is served, and it says so.
        Shown again, it serves again."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        meaning = Meaning(say, mode="strict", wrong=0.2, chance=0.019)
        prove(meaning)
        meaning.answer = lambda question: f"The {about(question)} is not renewed any more."
        meaning.ask(third(THINGS[0]))
        self.assertEqual(meaning.standing(), (PROVEN, 1))
        self.assertFalse(is_proven(PROVEN + 1, 1, 0.2))
        self.assertEqual(meaning.state.pauses, 1)
        meaning.ask(third(THINGS[1]))
        self.assertEqual(meaning.how, "MISS")
        told = [each["log_format"] for each in events if "by meaning" in str(each.get("log_format"))]
        self.assertEqual([("not served" in each) for each in told], [False, True])
        prove(meaning, 30, start=100)
        self.assertTrue(meaning.state.standing()["audits"][0]["serving"])

    def test_fed_with_lies(self) -> None:
        """Whatever is in the cache: what differs from what its vendor says is never served."""
        meaning = Meaning(say, mode="strict", wrong=0.2)
        for thing in THINGS[:40]:
            meaning.ask(one(thing))
            for key, slot in list(meaning.cache.memory._slots.items()):
                lie = slot.entry.body.replace(b"Take the", b"Never take the")
                meaning.cache.memory.put(key, _with_body(slot.entry, lie))
            meaning.ask(other(thing))
            self.assertEqual(meaning.how, "MISS")
        self.assertEqual(meaning.standing(), (0, 40))

    def test_what_was_wrong_once_is_not_tried_again(self) -> None:
        meaning = Meaning(say, mode="strict", wrong=0.2)
        meaning.ask(one("boat"))
        meaning.answer = lambda question: "Something else altogether, and 7 more."
        meaning.ask(other("boat"))
        self.assertEqual(meaning.standing(), (0, 1))
        meaning.cache.memory.remove(lambda key: True)
        meaning.ask(one("boat"))
        meaning.ask(other("boat"))
        self.assertEqual(meaning.standing(), (0, 1))


class Judging(SynchronousTestCase):
    def test_before_it_is_served(self) -> None:
        """The judge decides over what no rule knows, once a pair, at the caller's cost. Operators pay for audits."""
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2)
        for thing in THINGS[:PROVEN]:
            meaning.ask(f"How do I renew the {thing}?")
            meaning.ask(f"What is needed for renewing the {thing}?")
        self.assertEqual(meaning.standing(), (PROVEN, 0))
        self.assertEqual({each.account.key_id for each in meaning.asides}, {"asides"})
        meaning.asides.clear()
        for _ in range(2):
            self.assertEqual(meaning.ask(f"What papers does it take to renew the {THINGS[3]}?"), say(THINGS[3]))
            self.assertEqual(meaning.how, "SEMANTIC verified")
        (record,) = meaning.asides
        self.assertEqual((record.operation, record.caller, record.account.key_id), ("cache_judge", "c", ""))
        self.assertEqual((record.outcome, record.status, record.model), ("ok", 200, "judge"))

    def test_another_thing(self) -> None:
        """Is asked for, and no audit is about it."""
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2)
        prove(meaning)
        standing = meaning.standing()
        self.assertEqual(meaning.ask(one("zebra")), say("zebra"))
        self.assertEqual((meaning.how, meaning.standing()), ("MISS", standing))

    def test_a_judge_that_says_nothing(self) -> None:
        """Or too late, or fails: the vendor is asked; what a rule shows needs no judge."""
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2)
        for thing in THINGS[:PROVEN]:
            meaning.ask(one(thing))
            meaning.ask(f"What is needed for renewing the {thing}?")
        for answer in ("perhaps", ConnectFailed("down", cause="refused")):
            meaning.judging = lambda asked, answer=answer: answer  # type: ignore[misc]
            meaning.ask(f"What papers does it take to renew the {THINGS[3]}?")
            self.assertEqual(meaning.how, "MISS")
            meaning.cache.memory.remove(lambda key: True)
            prove(meaning, 5)
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2)
        for thing in THINGS[:PROVEN]:
            meaning.ask(one(thing))
            meaning.ask(f"What is needed for renewing the {thing}?")
        silence: Deferred[Any] = Deferred()
        meaning.world.vendors[1].scripts = [(silence, whole("yes"))]
        meaning.asides.clear()
        asking = meaning.begin(f"What papers does it take to renew the {THINGS[3]}?")
        meaning.world.clock.advance(1.9)
        self.assertNoResult(asking)
        meaning.world.clock.advance(0.2)
        self.successResultOf(asking)
        self.assertEqual((meaning.how, meaning.asides[0].outcome), ("MISS", "aborted"))

    def test_a_judge_that_errs(self) -> None:
        """On every tenth pair: what it calls the same is compared, and does not stay below the bound."""
        random = Random(1).random

        def erring(asked: str) -> str:
            if "<fresh>" in asked:
                return judge(asked)
            right = judge(asked)
            return ("no" if right == "yes" else "yes") if random() < 0.1 else right

        meaning = Meaning(say, erring, mode="verified", judge="judge", wrong=0.02)
        for number, thing in enumerate(THINGS[:160]):
            meaning.ask(f"How do I renew the {thing}?")
            meaning.ask(f"What is needed for renewing the {thing}?")
            audits = [each for each in meaning.state.standing()["audits"] if each["rule"] == "verified"]
            self.assertFalse(audits and audits[0]["serving"], number)
        self.assertGreater(meaning.state.wrong, 5)
        self.assertGreater(meaning.state.right, 100)
        self.assertEqual(meaning.state.served, 0)

    def test_a_judge_that_begins_to_err(self) -> None:
        """Is not believed for long."""
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2, chance=0.019)
        for thing in THINGS[:PROVEN]:
            meaning.ask(f"How do I renew the {thing}?")
            meaning.ask(f"What is needed for renewing the {thing}?")
        self.assertTrue(meaning.state.standing()["audits"][0]["serving"])
        meaning.judging = lambda asked: judge(asked) if "<fresh>" in asked else "yes"
        for thing in THINGS[200:210]:
            meaning.ask(f"How do I renew the {thing}?")
        self.assertFalse(meaning.state.standing()["audits"][0]["serving"])
        self.assertEqual(meaning.state.pauses, 1)

    def test_answers_that_are_too_long_to_judge(self) -> None:
        """Of a part of them nobody says that the whole would have done, the end of which may be another."""
        meaning = Meaning(
            lambda question: f"{'word ' * 4000}{meaning.asked}", mode="strict", judge="judge", wrong=0.2, chance=0.0
        )
        meaning.judging = lambda asked: "yes"
        prove(meaning, 3)
        self.assertEqual((meaning.standing(), meaning.state.unheard), ((0, 0), 3))

    def test_a_judge_that_falls_silent(self) -> None:
        """Of what nobody compares any more nothing is served."""
        meaning = Meaning(
            lambda question: f"{say(question)} {meaning.asked}", mode="strict", judge="judge", wrong=0.2, chance=0.0
        )
        prove(meaning)
        self.assertTrue(meaning.state.standing()["audits"][0]["serving"])
        meaning.judging = lambda asked: ConnectFailed("down", cause="refused")
        prove(meaning, 20, start=300)
        self.assertEqual(meaning.state.unheard, 20)
        self.assertFalse(meaning.state.standing()["audits"][0]["serving"])


class Beside(SynchronousTestCase):
    def test_what_is_left_alone(self) -> None:
        """Long conversations, tools, pictures, long texts, code, what moves with the day: nobody reads those."""
        meaning = Meaning(say, mode="shadow", max_chars=60)
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        for said, more in (
            (["a", "b", "c", one("boat")], {}),
            ([one("boat")], {"fields": {"tools": [{"type": "function", "function": {"name": "f"}}]}}),
            ([one("boat " * 20)], {}),
        ):
            meaning.ask(*said, **more)
        text = {"type": "text", "text": one("boat")}
        meaning.answer = lambda question: "A boat."
        meaning.ask(messages=[{"role": "user", "content": [text, picture]}])
        self.assertEqual((meaning.aside.done, meaning.state.standing()["questions"]), (0, 0))
        for said in ("What is the weather today?", "Why does `print` fail?", "???"):
            meaning.ask(said)
        self.assertEqual(meaning.state.standing()["questions"], 0)
        meaning.ask(one("boat"))
        self.assertEqual(meaning.state.standing()["questions"], 1)

    def test_another_conversation(self) -> None:
        """What was said before, instructions, settings of the model: all of that has to be the same."""
        meaning = Meaning(lambda question: "Yes, it is.", mode="shadow")
        meaning.ask("Is tea old?", "Yes.", one("boat"))
        meaning.ask("Is rice old?", "Yes.", other("boat"))
        self.assertEqual(meaning.standing(), (0, 0))
        meaning.ask("Is tea old?", "Yes.", other("boat"))
        self.assertEqual(meaning.standing(), (1, 0))
        meaning.ask(third("boat"), fields={"temperature": 0.5})
        meaning.ask(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": third("boat")}])
        meaning.ask(third("boat"), caller="another")
        self.assertEqual(meaning.standing(), (1, 0))
        self.assertEqual(meaning.state.standing()["partitions"], 4)

    def test_streams(self) -> None:
        """Are kept, compared and served as such, apart from whole answers."""
        meaning = Meaning(say, mode="strict", wrong=0.2)
        for thing in THINGS[:14]:
            meaning.ask(one(thing), stream=True)
            meaning.ask(other(thing), stream=True)
        self.assertEqual(meaning.standing(), (14, 0))
        self.assertEqual(meaning.ask(third(THINGS[0]), stream=True), say(THINGS[0]))
        self.assertEqual(meaning.how, "SEMANTIC strict")
        meaning.ask(third(THINGS[0]))
        self.assertEqual(meaning.how, "MISS")

    def test_what_ended_badly(self) -> None:
        """Is neither remembered nor compared."""
        meaning = Meaning(lambda question: whole("cut", "length"), mode="shadow")
        prove(meaning, 2)
        meaning.answer = lambda question: ConnectFailed("down", cause="refused")
        self.failureResultOf(meaning.begin(one("boat")))
        self.assertEqual((meaning.state.standing()["questions"], meaning.standing()), (0, (0, 0)))

    def test_gone(self) -> None:
        """An answer that was purged, has aged or made room is not given, and its question is forgotten."""
        for purge in (
            lambda meaning: meaning.cache.generations.bump("all"),
            lambda meaning: meaning.cache.memory.remove(lambda key: True),
            lambda meaning: meaning.world.clock.advance(3601),
        ):
            meaning = Meaning(say, mode="strict", wrong=0.2)
            prove(meaning, 14)
            purge(meaning)
            self.assertEqual(meaning.ask(third(THINGS[0])), say(THINGS[0]))
            self.assertEqual(meaning.how, "MISS")
            meaning.ask(other(THINGS[0]))
            self.assertEqual(meaning.how, "SEMANTIC strict" if not meaning.cache.generations.marks else "MISS")

    def test_asked_anew(self) -> None:
        """Who wants no stored answer has none, and the question is remembered."""
        from llmedge.call import CacheWish, RoutingHints

        meaning = Meaning(say, mode="strict", wrong=0.2)
        prove(meaning, 14)
        meaning.ask(third(THINGS[0]), hints=RoutingHints(cache=CacheWish(read=False)))
        self.assertEqual(meaning.how, "REFRESH")
        questions = meaning.state.standing()["questions"]
        meaning.ask(third(THINGS[1]), hints=RoutingHints(cache=CacheWish(store=False)))
        self.assertEqual((meaning.how, meaning.state.standing()["questions"]), ("MISS", questions))

    def test_too_much_to_do(self) -> None:
        """Then nobody is looked at, and nobody waits."""
        meaning = Meaning(say, mode="strict", wrong=0.2)
        prove(meaning, 14)
        meaning.aside.full = True
        self.assertEqual(meaning.ask(third(THINGS[0])), say(THINGS[0]))
        self.assertEqual(meaning.how, "MISS")

    def test_a_model_that_cannot_be_loaded(self) -> None:
        """Is told of once; every call is answered."""
        meaning = Meaning(say, mode="strict")

        def broken() -> Any:
            raise OSError("no such file")

        meaning.state._meanings._make = broken  # type: ignore[union-attr]
        for thing in THINGS[:3]:
            self.assertEqual(meaning.ask(one(thing)), say(thing))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_other_models_and_strangers(self) -> None:
        meaning = Meaning(say, mode="shadow", models=("gpt-*",))
        meaning.ask(one("boat"))
        meaning = Meaning(say, mode="shadow", cache={"scope": "shared"})
        meaning.ask(one("boat"))
        self.assertEqual((meaning.aside.done, meaning.how), (0, "MISS"))

    def test_the_client_leaves(self) -> None:
        """While somebody looks: nothing is left behind."""
        meaning = Meaning(say, judge, mode="verified", judge="judge", wrong=0.2)
        for thing in THINGS[:14]:
            meaning.ask(one(thing))
            meaning.ask(f"What is needed for renewing the {thing}?")
        meaning.world.vendors[1].scripts = [(Deferred(), whole("yes"))]
        asking = meaning.begin(f"What papers does it take to renew the {THINGS[3]}?")
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(meaning.world.at_rest())
        self.assertEqual(meaning.cache.flights, {})


class Vectors(SynchronousTestCase):
    def vector(self, text: str) -> list[float]:
        return [1.0, float("renew" in text), 0.1]

    def test_of_a_configured_model(self) -> None:
        """It is asked where there is something to compare with, and once an answer is there to be remembered."""
        meaning = Meaning(say, mode="strict", wrong=0.2, embeddings="vectors", embed=self.vector)
        meaning.ask(one("boat"))
        self.assertEqual(meaning.embedded, [one("boat")])
        meaning.ask(other("boat"))
        self.assertEqual((meaning.embedded, meaning.standing()), ([one("boat"), other("boat")], (1, 0)))
        self.assertEqual(
            {(each.operation, each.caller, each.outcome) for each in meaning.asides}, {("cache_embed", "c", "ok")}
        )

    def test_that_fails(self) -> None:
        """Or gives nothing of use: calls are answered."""
        answers: list[Any] = [[0.0, 0.0], [], [1.0, 2.0], [1.0, 2.0, 3.0]]
        meaning = Meaning(say, mode="strict", embeddings="vectors", embed=lambda text: answers.pop(0))
        for thing in THINGS[:4]:
            self.assertEqual(meaning.ask(one(thing)), say(thing))
        self.flushLoggedErrors(ValueError)
        meaning.world.vendors[2].scripts = [(ConnectFailed("down", cause="refused"),)]
        self.assertEqual(meaning.ask(one("boat")), say("boat"))
        self.assertEqual(meaning.how, "MISS")


def _with_body(entry: Any, body: bytes) -> Any:
    import msgspec

    return msgspec.structs.replace(entry, body=body)
