"""Guardrails around calls: where they look, what they do, and what is told of it."""

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from llmedge import threads
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import ValidationError, VendorRefused
from llmedge.guards.interfaces import GuardFailed, Judgement
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable, GuardrailUnavailable
from llmedge.model import Answer
from llmedge.operations import Operation
from tests.guards.made import CANARY, Canaries, Told, guard
from tests.guards.positions import REQUESTS
from tests.pipeline.guarded import CHAT, Guarded, answer, named, text_of
from tests.pipeline.harness import END, ROLE, Stream, chunk

ASKED = ("request", "history", "system", "tool_results", "tool_calls", "tools")
OPERATIONS = {
    "tokens to be counted": ("gemini", Operation.COUNT_TOKENS),
    "responses": ("openai_responses", Operation.CHAT),
    "responses with a text": ("openai_responses", Operation.CHAT),
    "messages": ("anthropic", Operation.CHAT),
    "messages with a text for a system": ("anthropic", Operation.CHAT),
    "gemini": ("gemini", Operation.CHAT),
    "gemini in snake case": ("gemini", Operation.CHAT),
    "completions": ("openai_text", Operation.TEXT),
    "embeddings": ("openai_embeddings", Operation.EMBEDDINGS),
    "gemini's embeddings": ("gemini_embeddings", Operation.EMBEDDINGS),
    "many of them": ("gemini_embeddings", Operation.EMBEDDINGS),
    "moderations": ("passthrough", Operation.MODERATIONS),
    "images": ("passthrough", Operation.IMAGES_GENERATIONS),
    "speech": ("passthrough", Operation.AUDIO_SPEECH),
    "rerank": ("passthrough", Operation.RERANK),
}


def poisoned(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Bodies like the one of that name, each with a canary in another place; and where."""
    whole = json.dumps(REQUESTS[name])
    found = []
    for where in (*ASKED,):
        at = whole.find(f"{where}:")
        while at >= 0:
            behind = at + len(where) + 1
            found.append((where, json.loads(f"{whole[:behind]}{CANARY} {whole[behind:]}")))
            at = whole.find(f"{where}:", behind)
    return found


class Requests(SynchronousTestCase):
    def test_masked_wherever_it_is(self) -> None:
        """In every place of every dialect and operation; nothing but the mask is in its stead."""
        count = 0
        for name in REQUESTS:
            dialect, operation = OPERATIONS.get(name, ("openai_chat", Operation.CHAT))
            for where, fields in poisoned(name):
                guarded = Guarded(guard(Canaries(), action="mask", on=(where,)), vendor=(Answer(b"{}"),))
                self.successResultOf(guarded.ask(fields, dialect=dialect, operation=operation))
                said = json.dumps(guarded.asked[0])
                self.assertNotIn("canary-", said, f"{name} {where}")
                self.assertEqual(said.count("[CANARY]"), 1, f"{name} {where}")
                self.assertEqual(guarded.facts["guardrails"][0]["finds"], {"CANARY": 1}, f"{name} {where}")
                count += 1
        self.assertGreater(count, 90)

    def test_blocked_wherever_it_is(self) -> None:
        """And said so in the client's dialect, without what was found."""
        for name in REQUESTS:
            dialect, operation = OPERATIONS.get(name, ("openai_chat", Operation.CHAT))
            for where, fields in poisoned(name):
                guarded = Guarded(guard(Canaries(), on=(where,)))
                error = self.failureResultOf(guarded.ask(fields, dialect=dialect, operation=operation)).value
                assert isinstance(error, ContentBlocked), error
                body = DIALECTS[dialect].error_body(error)
                self.assertEqual((error.status, error.code), (400, "content_policy_violation"))
                self.assertIn(b"guardrail 'g'", body)
                self.assertNotIn(b"canary-", body + json.dumps(guarded.facts).encode())
                self.assertEqual(guarded.asked, [])

    def test_only_where_it_is_on(self) -> None:
        guarded = Guarded(guard(Canaries(), on=("system",)))
        self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(guarded.verdicts, [("g", "request", "pass")])

    def test_what_is_clean_stays_the_bytes_it_was(self) -> None:
        guarded = Guarded(guard(Canaries(), action="mask"))
        call = guarded.call()
        self.successResultOf(guarded.begin(call))
        self.assertIs(guarded.world.vendors[0].calls[0].fields, call.fields)

    def test_in_shadow(self) -> None:
        """Told, and nothing is done."""
        fields = {"messages": [{"role": "user", "content": f"to {CANARY}"}]}
        for action in ("block", "mask", "pseudonymize"):
            guarded = Guarded(guard(Canaries(), mode="shadow", action=action))
            self.successResultOf(guarded.ask(fields))
            self.assertEqual(guarded.asked[0], fields)
            self.assertEqual(guarded.verdicts, [("g", "request", action)])
            self.assertNotIn("guardrails_applied", guarded.facts)

    def test_reported(self) -> None:
        guarded = Guarded(guard(Canaries(), action="report"))
        self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(guarded.verdicts, [("g", "request", "report")])
        self.assertEqual(guarded.facts["guardrails_applied"], ["g=report"])

    def test_put_back(self) -> None:
        """The vendor sees placeholders, the same for the same; the client what they stand for, in arguments too."""
        function = {"name": "f", "arguments": '{"<CANARY_2>": "<CANARY_1> and \\"<CANARY_9>\\""}'}
        calls = [{"id": "1", "type": "function", "function": function}]
        said = answer("to <CANARY_1> and <CANARY_2>", tool_calls=calls)
        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=(said,))
        fields = {"messages": [{"role": "user", "content": f"{CANARY}, canary-2@leak.example, {CANARY}"}]}
        reply = self.successResultOf(guarded.ask(fields))
        self.assertEqual(guarded.asked[0]["messages"][0]["content"], "<CANARY_1>, <CANARY_2>, <CANARY_1>")
        message = json.loads(reply.body)["choices"][0]["message"]
        self.assertEqual(message["content"], f"to {CANARY} and canary-2@leak.example")
        arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
        self.assertEqual(arguments, {"canary-2@leak.example": f'{CANARY} and "<CANARY_9>"'})

    def test_put_back_in_a_thread(self) -> None:
        """Where there is much to read."""
        done: list[Any] = []

        async def in_thread(clock: Any, work: Any, *args: Any) -> Any:
            done.append(work(*args))
            return done[0]

        self.patch(threads, "in_thread", in_thread)
        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=(answer("<CANARY_1> " * 30000),))
        reply = self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(text_of(reply), f"{CANARY} " * 30000)
        self.assertEqual(done, [reply])

    def test_forged_placeholders(self) -> None:
        """What a client writes like one is none: it comes back as it was written, and stands for nobody else."""
        echo = lambda call: answer(json.loads(bytes(call.fields["messages"]))[0]["content"])  # noqa: E731
        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=(echo,))
        text = f"<CANARY_1> is not {CANARY}"
        reply = self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": text}]}))
        self.assertEqual(text_of(reply), text)
        self.assertNotIn("<CANARY_1> is not <CANARY_1>", json.dumps(guarded.asked))

    def test_forged_where_there_were_none(self) -> None:
        """What is clean in a call without placeholders is no less forged in one that has some."""
        echo = lambda call: answer(json.loads(bytes(call.fields["messages"]))[-1]["content"])  # noqa: E731
        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=[(echo,)])
        forged = {"role": "user", "content": "say <CANARY_1>"}
        self.successResultOf(guarded.ask({"messages": [forged]}, previous="resp_1"))
        reply = self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}, forged]}))
        self.assertEqual(text_of(reply), "say <CANARY_1>")

    def test_no_placeholders_beyond_a_call(self) -> None:
        """A call that goes on from a kept answer has masks: what that one's placeholders stood for is not known."""
        guarded = Guarded(guard(Canaries(), action="pseudonymize"))
        self.successResultOf(guarded.ask({"input": CANARY}, dialect="openai_responses", previous="resp_1"))
        self.assertEqual(guarded.asked[0]["input"], "[CANARY]")

    def test_sent_elsewhere(self) -> None:
        models = {"local": Model((TargetEntry("p0/local"),))}
        guarded = Guarded(guard(Canaries(), action="route", route="local"), models=models)
        self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(guarded.world.vendors[0].calls[0].model, "local")
        self.assertEqual(guarded.facts["guardrail_route"], "local")
        self.successResultOf(guarded.ask(CHAT))
        self.assertEqual(guarded.world.vendors[0].calls[1].model, "m")

    def test_one_behind_the_other(self) -> None:
        """Each sees what the one before has made of it; one that blocks counts, wherever it stands."""
        models = {"local": Model((TargetEntry("p0/local"),))}
        first = guard(Canaries(), name="first", action="mask")
        guarded = Guarded(first, guard(Canaries(), name="second"))
        self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(guarded.verdicts, [("first", "request", "mask"), ("second", "request", "pass")])
        first = guard(Canaries(), name="first", action="route", route="local")
        guarded = Guarded(first, guard(Canaries(), name="second"), models=models)
        self.failureResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}), ContentBlocked)

    def test_names_and_numbers_of_arguments(self) -> None:
        """They cannot be replaced: one that blocks sees them, one that masks leaves them."""
        function = {"name": "f", "arguments": json.dumps({CANARY: 1})}
        calls = [{"id": "1", "type": "function", "function": function}]
        fields = {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}
        self.failureResultOf(Guarded(guard(Canaries())).ask(fields), ContentBlocked)
        function["arguments"] = json.dumps({f"a name of many {number}": 1 for number in range(200)} | {CANARY: 1})
        self.failureResultOf(Guarded(guard(Canaries())).ask(fields), ContentBlocked)
        guarded = Guarded(guard(Canaries(), action="mask"))
        self.successResultOf(guarded.ask(fields))
        self.assertEqual(guarded.asked[0], fields)

    def test_what_cannot_be_read(self) -> None:
        """It passes, and that is told; or it is refused, where it was seen before too."""
        parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        fields = {"messages": [{"role": "user", "content": parts}]}
        guarded = Guarded(guard(Canaries()), guard(Canaries(), name="strict", on_unreadable="refuse"))
        for _ in range(2):
            error = self.failureResultOf(guarded.ask(fields), ContentUnreadable).value
            self.assertIn("cannot read pictures", error.message)
            self.assertEqual(guarded.facts["guardrails"][0]["unread"], ["image"])
        reader = Told()
        reader.reads = ("image",)  # type: ignore[attr-defined]
        guarded = Guarded(guard(checker=reader, on_unreadable="refuse"))
        self.successResultOf(guarded.ask(fields))
        self.assertEqual([each.kind for each in reader.seen[0].media], ["image"])

    def test_names_that_stand_twice(self) -> None:
        """Only the last of them is looked at, and so only the last goes on: in messages, parts, arguments, bodies."""
        function = b'{"name":"f","arguments":"{\\"to\\":\\"canary-17@leak.example\\",\\"to\\":\\"b\\"}"}'
        bodies = {
            "a message": b'{"messages":[{"role":"user","content":"canary-17@leak.example","content":"b"}]}',
            "in other letters": b'{"messages":[{"role":"user","c\\u006fntent":"canary-17@leak.example","content":""}]}',
            "with quotes": b'{"messages":[{"role":"user","content":"canary-17@leak.example",'
            b'"content":"\\u0022\\u0022b\\u0022\\u0022"}]}',
            "a part": b'{"messages":[{"content":[{"type":"text","text":"canary-17@leak.example","text":"b"}]}]}',
            "arguments": b'{"messages":[{"role":"assistant","tool_calls":[{"function":%b}]}]}' % function,
            "a body": b'{"generateContentRequest":{"contents":"canary-17@leak.example","contents":"b"}}',
        }
        for name, body in bodies.items():
            for guarded in (Guarded(guard(Canaries())), Guarded(guard(checker=Told()))):
                call = guarded.call().changed(fields=msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
                self.successResultOf(guarded.begin(call))
                said = msgspec.json.encode(guarded.world.vendors[0].calls[0].fields)
                self.assertNotIn(b"canary-17", said, name)
                self.assertEqual(guarded.verdicts, [("g", "request", "pass")], name)

    def test_uploads(self) -> None:
        upload: Any = object()
        guarded = Guarded(guard(Canaries(), on_unreadable="refuse"))
        asking = guarded.ask({}, operation=Operation.AUDIO_TRANSCRIPTIONS, dialect="passthrough", upload=upload)
        self.failureResultOf(asking, ContentUnreadable)

    def test_a_body_that_is_half_a_character(self) -> None:
        """It is looked at as what it will be."""
        guarded = Guarded(guard(Canaries()))
        call = guarded.call()
        raw = type(call.fields["messages"])(b'[{"role":"user","content":"\\ud83d ' + CANARY.encode() + b'"}]')
        self.failureResultOf(guarded.begin(call.changed(fields={"messages": raw})), ContentBlocked)


class Whose(SynchronousTestCase):
    def test_added_by_the_call(self) -> None:
        """By body or head; what is in the body goes no further. None can be left out."""
        usual, other = guard(Canaries(), name="usual"), guard(Canaries(), name="other", default_on=False)
        for asked in ({"fields": CHAT | {"guardrails": ["other"]}}, {"adds": ("other",)}):
            guarded = Guarded(usual, other)
            self.successResultOf(guarded.ask(**asked))
            self.assertEqual([name for name, _, _ in guarded.verdicts], ["usual", "other"])
            self.assertNotIn("guardrails", guarded.asked[0])
        guarded = Guarded(usual, other)
        self.successResultOf(guarded.ask(CHAT | {"guardrails": []}))
        self.assertEqual([name for name, _, _ in guarded.verdicts], ["usual"])
        self.failureResultOf(Guarded(usual).ask(CHAT | {"guardrails": ["another"]}), ValidationError)
        self.failureResultOf(Guarded(usual).ask(CHAT | {"guardrails": "usual"}), ValidationError)

    def test_carried_by_key_or_team(self) -> None:
        guarded = Guarded(guard(Canaries(), name="other", default_on=False))
        self.successResultOf(guarded.ask())
        self.assertEqual(guarded.verdicts, [])
        self.successResultOf(guarded.ask(caller=named("k", "other")))
        self.assertEqual(guarded.verdicts, [("other", "request", "pass")])

    def test_carried_and_not_there(self) -> None:
        """A key whose guardrail is gone is served nothing."""
        error = self.failureResultOf(Guarded(guard(Canaries())).ask(caller=named("k", "gone")), GuardrailUnavailable)
        self.assertEqual((error.value.status, error.value.code), (503, "guardrail_unavailable"))

    def test_for_some_models_and_keys(self) -> None:
        guarded = Guarded(guard(Canaries(), models=("x*",)), guard(Canaries(), name="k", keys=("key-*",)))
        self.successResultOf(guarded.ask())
        self.assertEqual(guarded.verdicts, [])
        self.successResultOf(guarded.ask(caller=named("key-1")))
        self.assertEqual(guarded.verdicts, [("k", "request", "pass")])

    def test_the_cache_is_told(self) -> None:
        """Calls under other guardrails, or the same set otherwise, differ."""
        found = set()
        for settings in ({}, {"action": "mask"}, {"name": "other"}):
            guarded = Guarded(guard(Canaries(), **settings))
            self.successResultOf(guarded.ask())
            found.add(guarded.world.vendors[0].calls[0].guards)
        self.assertEqual({len(each) for each in found}, {16})
        self.assertEqual(len(found), 3)


class Checked(SynchronousTestCase):
    def test_material(self) -> None:
        """A checker sees the places it is on, masked by those before, the tools, and whose call it is."""
        told = Told()
        guarded = Guarded(
            guard(Canaries(), name="m", action="mask"), guard(checker=told, on=("request", "tool_results"))
        )
        fields = json.loads(json.dumps(REQUESTS["chat"]).replace("request:text", CANARY))
        self.successResultOf(guarded.ask(fields))
        material = told.seen[0]
        self.assertEqual({place.where for place in material.places}, {"request", "tool_results"})
        self.assertIn("[CANARY]", [place.text for place in material.places])
        self.assertEqual([each.name for each in material.offered], ["look_up"])
        self.assertEqual(material.call.caller.name, "c")

    def test_verdicts(self) -> None:
        said = Judgement("block", reason="topic", score=0.9, finds={"INSULT": 2})
        guarded = Guarded(guard(checker=Told(lambda material: said)))
        self.failureResultOf(guarded.ask(), ContentBlocked)
        told = guarded.facts["guardrails"][0]
        self.assertEqual(
            {name: told[name] for name in ("verdict", "reason", "score", "finds")},
            {"verdict": "block", "reason": "topic", "score": 0.9, "finds": {"INSULT": 2}},
        )

    def test_changed(self) -> None:
        """What it gives stands there, JSON within arguments too."""
        guarded = Guarded(guard(checker=Told(lambda m: Judgement("change", texts=[f"<{p.text}>" for p in m.places]))))
        self.successResultOf(guarded.ask(REQUESTS["chat"]))
        said = guarded.asked[0]["messages"]
        self.assertEqual(said[0]["content"], "<system:text>")
        arguments = json.loads(said[4]["tool_calls"][0]["function"]["arguments"])
        self.assertEqual(arguments["q"], "<tool_calls:argument>")

    def test_two_that_change(self) -> None:
        """The second is asked about what the first has made of it."""

        def tells(mark: str) -> Told:
            return Told(lambda m: Judgement("change", texts=[p.text + mark for p in m.places]))

        guarded = Guarded(guard(checker=tells("1"), name="a"), guard(checker=tells("2"), name="b"))
        self.successResultOf(guarded.ask())
        self.assertEqual(guarded.asked[0]["messages"][0]["content"], "hi12")

    def test_who_only_tells_is_not_waited_for_first(self) -> None:
        """The vendor is asked at once, and the call ends with what is told of it; nothing is refused."""
        shield: Deferred[Any] = Deferred()
        guarded = Guarded(guard(checker=Told(lambda m: shield), mode="shadow", timeout=9.0))
        asking = guarded.ask()
        self.assertEqual(len(guarded.asked), 1)
        self.assertNoResult(asking)
        shield.callback(Judgement("block"))
        self.successResultOf(asking)
        self.assertEqual(guarded.verdicts, [("g", "request", "block")])

    def test_what_fails_behind_it_is_its_own(self) -> None:
        """It is not told as if it were about the body."""

        async def broken(call: Any) -> Any:
            raise ValueError("a defect")

        guarded = Guarded(guard(checker=Told()), guard(Canaries(), name="p", action="pseudonymize"))
        stage = guarded.stages[0]
        self.failureResultOf(Deferred.fromCoroutine(stage(guarded.call(), broken)), ValueError)

    def test_asked_at_once(self) -> None:
        waits: list[Deferred[Any]] = [Deferred(), Deferred()]
        checkers = [Told(lambda m, each=each: each) for each in waits]
        guarded = Guarded(*(guard(checker=each, name=f"g{n}", timeout=9.0) for n, each in enumerate(checkers)))
        asking = guarded.ask()
        self.assertEqual([len(each.seen) for each in checkers], [1, 1])
        waits[1].callback(Judgement())
        self.assertNoResult(asking)
        waits[0].callback(Judgement())
        self.successResultOf(asking)

    def test_cannot_say(self) -> None:
        """Slow, away, wrong, or broken: closed is closed, open passes and is told."""
        failures: dict[str, Any] = {
            "timeout": lambda m: Deferred(),
            "unavailable": lambda m: GuardFailed("unavailable"),
            "answer": lambda m: Judgement("change", texts=["one", "two"]),
            "bug": lambda m: ZeroDivisionError(CANARY),
        }
        for cause, says in failures.items():
            for rule in ("closed", "open"):
                guarded = Guarded(guard(checker=Told(says), on_failure=rule, timeout=0.5))
                asking = guarded.ask()
                guarded.world.clock.advance(0.5)
                if rule == "closed":
                    error = self.failureResultOf(asking, GuardrailUnavailable).value
                    self.assertNotIn("canary", error.message)
                    self.assertEqual(guarded.verdicts, [("g", "request", "unavailable")])
                    self.assertEqual(guarded.asked, [])
                else:
                    self.successResultOf(asking)
                    self.assertEqual(guarded.verdicts, [("g", "request", "open")])
                self.assertEqual(guarded.facts["guardrails"][0]["cause"], cause)
                if cause == "bug":
                    self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_detector_that_breaks(self) -> None:
        class Broken(Canaries):
            def find(self, text: str, start: int = 0) -> Any:
                raise ZeroDivisionError

        self.failureResultOf(Guarded(guard(Broken())).ask(), GuardrailUnavailable)
        guarded = Guarded(guard(Broken(), on_failure="open"))
        for _ in range(2):  # what nobody has looked at is not known to be clean
            self.successResultOf(guarded.ask())
            self.assertEqual(guarded.verdicts, [("g", "request", "open")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_what_a_defect_says_is_not_logged(self) -> None:
        """It may repeat what was said."""

        class Broken(Canaries):
            def find(self, text: str, start: int = 0) -> Any:
                raise ValueError(text)

        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        for each in (guard(Broken()), guard(checker=Told(lambda m: ValueError(m.places[0].text)))):
            self.failureResultOf(Guarded(each).ask({"messages": [{"role": "user", "content": CANARY}]}))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        text = "".join(eventAsText(event) for event in logged)
        self.assertIn("the guardrail g failed", text)
        self.assertNotIn("canary-", text)

    def test_metrics(self) -> None:
        guarded = Guarded(
            guard(Canaries()), guard(checker=Told(lambda m: GuardFailed("unavailable")), name="s", on_failure="open")
        )
        self.successResultOf(guarded.ask())
        families = list(guarded.guards.stats.collect())
        samples = {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}
        self.assertEqual(samples["llm_guardrail_total", "g", "pass"], 1)
        self.assertEqual(samples["llm_guardrail_total", "s", "open"], 1)
        self.assertEqual(samples["llm_guardrail_failures_total", "s", "unavailable"], 1)
        self.assertEqual(samples["llm_guardrail_seconds_count", "g"], 1)


class During(SynchronousTestCase):
    """A shield that judges while the vendor is at work."""

    def guarded(self, shield: Any, vendor: Any) -> Guarded:
        on = ("during_call", *ASKED)
        return Guarded(guard(checker=Told(lambda m: shield), on=on, timeout=9.0), vendor=vendor)

    def test_both_at_once(self) -> None:
        """The vendor is asked before the shield has said anything; the answer waits for that."""
        shield: Deferred[Any] = Deferred()
        guarded = self.guarded(shield, (answer("x"),))
        asking = guarded.ask()
        self.assertEqual(len(guarded.asked), 1)
        self.assertNoResult(asking)
        shield.callback(Judgement())
        self.assertEqual(text_of(self.successResultOf(asking)), "x")
        self.assertEqual(guarded.verdicts, [("g", "request", "pass")])

    def test_a_stream_waits_too(self) -> None:
        shield: Deferred[Any] = Deferred()
        guarded = self.guarded(shield, (lambda call: Stream(guarded.world.clock, [ROLE], [chunk("a")], END),))
        asking = guarded.ask(stream=True)
        self.assertNoResult(asking)
        shield.callback(Judgement("block"))
        self.failureResultOf(asking, ContentBlocked)
        self.assertEqual(guarded.world.record.routing.attempts[0].outcome, "aborted")
        self.assertTrue(guarded.world.at_rest())

    def test_a_block_ends_the_vendors_work(self) -> None:
        shield: Deferred[Any] = Deferred()
        guarded = self.guarded(shield, (5.0, answer("x")))
        asking = guarded.ask()
        guarded.world.clock.advance(1.0)
        shield.callback(Judgement("block"))
        self.failureResultOf(asking, ContentBlocked)
        self.assertTrue(guarded.world.at_rest())

    def test_a_vendor_that_fails_first(self) -> None:
        """Its error is told, and the shield is not waited for."""
        cancelled: list[Any] = []
        shield: Deferred[Any] = Deferred(cancelled.append)
        guarded = self.guarded(shield, (VendorRefused("no"),))
        self.failureResultOf(guarded.ask(), VendorRefused)
        self.assertEqual(cancelled, [shield])

    def test_a_client_that_leaves(self) -> None:
        cancelled: list[Any] = []
        shield: Deferred[Any] = Deferred(cancelled.append)
        guarded = self.guarded(shield, (5.0, answer("x")))
        asking = guarded.ask()
        asking.addErrback(lambda failure: None)
        asking.cancel()
        self.assertEqual(cancelled, [shield])
        self.assertTrue(guarded.world.at_rest())
