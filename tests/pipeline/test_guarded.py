"""Answers under guardrails."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.errors import EdgeError, NotFound, UpstreamCut, VendorRefused
from llmedge.guards.interfaces import GuardFailed, Judgement
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable, GuardrailUnavailable
from llmedge.model import Answer, Usage
from llmedge.operations import Operation
from llmedge.pipeline.stage import compose
from llmedge.record import Content, TraceContext
from tests.guards.made import CANARY, Canaries, Told, guard
from tests.pipeline.guarded import Guarded, answer, text_of
from tests.pipeline.harness import END, ROLE, Stream, chunk, read


class Answers(SynchronousTestCase):
    def test_masked(self) -> None:
        """In text, thoughts, refusals and arguments."""
        function = {"name": "f", "arguments": json.dumps({"a": CANARY, "n": 1})}
        said = answer(
            f"to {CANARY}",
            reasoning_content=CANARY,
            refusal=CANARY,
            tool_calls=[{"id": "1", "type": "function", "function": function}],
        )
        guarded = Guarded(guard(Canaries(), action="mask", on=("response",)), vendor=(said,))
        reply = self.successResultOf(guarded.ask())
        self.assertNotIn(b"canary-", reply.body)
        self.assertEqual(reply.body.count(b"[CANARY]"), 4)
        self.assertEqual(reply.usage, said.usage)
        self.assertEqual(guarded.verdicts, [("g", "response", "mask")])

    def test_blocked(self) -> None:
        """It is a refusal of the client's dialect, and what it has cost stays; or an error, or asked for once more."""
        bad, good = answer(CANARY), answer("fine")
        guarded = Guarded(guard(Canaries(), on=("response",)), vendor=[(bad,)])
        reply = self.successResultOf(guarded.ask())
        choice = json.loads(reply.body)["choices"][0]
        self.assertEqual(choice["finish_reason"], "content_filter")
        self.assertEqual(choice["message"]["refusal"], "This answer was withheld by the guardrail 'g'.")
        self.assertNotIn(b"canary", reply.body)
        self.assertEqual(reply.usage, Usage(3, 4))
        guarded = Guarded(guard(Canaries(), on=("response",), block="error"), vendor=[(bad,)])
        self.failureResultOf(guarded.ask(), ContentBlocked)
        guarded = Guarded(guard(Canaries(), on=("response",), retry=True), vendor=[(bad,), (good,)])
        self.assertEqual(text_of(self.successResultOf(guarded.ask())), "fine")
        self.assertEqual(guarded.verdicts, [("g", "response", "block"), ("g", "response", "pass")])
        guarded = Guarded(guard(Canaries(), on=("response",), retry=True), vendor=[(bad,)])
        self.assertIn(b"withheld", self.successResultOf(guarded.ask()).body)
        self.assertEqual(len(guarded.asked), 2)

    def test_other_dialects_refuse_in_their_words(self) -> None:
        texts = [{"type": "output_text", "text": CANARY, "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "content": texts}
        parts = {"role": "model", "parts": [{"text": CANARY}]}
        answers: dict[str, tuple[dict[str, Any], bytes]] = {
            "anthropic": (
                {
                    "type": "message",
                    "id": "m",
                    "role": "assistant",
                    "model": "x",
                    "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": CANARY}],
                    "usage": {"input_tokens": 1, "output_tokens": 1},
                },
                b'"stop_reason":"refusal"',
            ),
            "gemini": ({"candidates": [{"content": parts, "finishReason": "STOP"}]}, b'"finishReason":"SAFETY"'),
            "openai_responses": (
                {"id": "r", "object": "response", "status": "completed", "model": "x", "output": [message]},
                b'"type":"refusal"',
            ),
        }
        for dialect, (document, words) in answers.items():
            guarded = Guarded(guard(Canaries(), on=("response",)), vendor=(Answer(json.dumps(document).encode()),))
            reply = self.successResultOf(guarded.ask(dialect=dialect))
            self.assertIn(words, reply.body)
            self.assertNotIn(b"canary", reply.body)

    def test_completions(self) -> None:
        choice = {"index": 0, "text": CANARY, "finish_reason": "stop"}
        said = Answer(json.dumps({"id": "c", "object": "text_completion", "choices": [choice]}).encode())
        guarded = Guarded(guard(Canaries(), on=("response",)), vendor=(said,))
        reply = self.successResultOf(guarded.ask(dialect="openai_text", operation=Operation.TEXT))
        self.assertEqual(json.loads(reply.body)["choices"][0]["finish_reason"], "content_filter")

    def test_texts_that_are_no_json(self) -> None:
        """A transcription, say."""
        heard = Answer(f"to {CANARY}".encode(), None, b"text/plain; charset=utf-8")
        guarded = Guarded(guard(Canaries(), action="mask", on=("response",)), vendor=(heard,))
        asking = guarded.ask(dialect="passthrough", operation=Operation.AUDIO_TRANSCRIPTIONS)
        self.assertEqual(self.successResultOf(asking).body, b"to [CANARY]")

    def test_judged(self) -> None:
        told = Told(lambda m: Judgement("block") if "bad" in m.answer[0] else Judgement())
        guarded = Guarded(guard(checker=told, on=("response",)), vendor=[(answer("bad"),), (answer("good"),)])
        self.assertIn(b"withheld", self.successResultOf(guarded.ask()).body)
        self.assertEqual(text_of(self.successResultOf(guarded.ask())), "good")
        self.assertEqual(told.seen[0].position, "end")

    def test_a_vendors_error_is_its_own(self) -> None:
        guarded = Guarded(guard(Canaries(), on=("response",)), vendor=(VendorRefused("no"),))
        self.failureResultOf(guarded.ask(), EdgeError)

    def plays(self, *script: Any) -> Any:
        """A vendor's stream in ``world``."""
        return lambda call: Stream(self.world.clock, *script)

    def test_what_a_vendor_says_of_its_failure(self) -> None:
        """It is masked for the client and in the books, whole and in the middle of a stream."""
        more = {"mode": "shadow"}
        for settings, want in (({"action": "mask"}, False), ({}, False), (more, True)):
            refusal = VendorRefused(f"no {CANARY}")
            refusal.more = {"said": [CANARY]}
            guarded = Guarded(guard(Canaries(), on=("response",), **settings), vendor=(refusal,))
            error = self.failureResultOf(guarded.ask(), VendorRefused).value
            told = f"{error} {error.message} {error.more} {guarded.world.record.routing.attempts}"
            self.assertEqual(CANARY in told, want)
            script = [[ROLE], [chunk("well")], UpstreamCut(f"broke at {CANARY}")]
            guarded = Guarded(guard(Canaries(), on=("response",), **settings), vendor=(self.plays(*script),))
            self.world = guarded.world
            stream = self.successResultOf(guarded.ask(stream=True))
            error = self.failureResultOf(Deferred.fromCoroutine(read(stream)), UpstreamCut).value
            told = f"{error} {error.message} {guarded.world.record.routing.attempts}"
            self.assertEqual(CANARY in told, want)

    def test_goes_on_at_another_vendor(self) -> None:
        """Wherever a stream breaks, in a find or in a placeholder, the client has it once, masked and put back."""
        text = "to canary-5@leak.example, <CANARY_1> end"
        whole = [[ROLE], [chunk(text[:9])], [chunk(text[9:30])], [chunk(text[30:])], END]
        for mode in ("splice", "buffer"):
            for cut in range(1, len(text), 3):
                broken = [[ROLE], [chunk(text[:cut])], [chunk(text[cut : cut + 3])], UpstreamCut("It broke.")]
                guarded = Guarded(
                    guard(Canaries(), name="in", action="pseudonymize"),
                    guard(Canaries(), name="out", action="mask", on=("response",)),
                    vendor=[(self.plays(*broken),), (self.plays(*whole),)],
                    settings={"hedge": "off", "retry_base": 0.1},
                    stream_recovery=mode,
                )
                self.world = guarded.world
                asking = guarded.ask({"messages": [{"role": "user", "content": CANARY}]}, stream=True)
                guarded.world.pass_time(1)
                reading = Deferred.fromCoroutine(read(self.successResultOf(asking)))
                guarded.world.pass_time(1)
                self.assertEqual(self.successResultOf(reading), f"to [CANARY], {CANARY} end")
                self.assertEqual(len(guarded.world.attempts()), 2)

    def test_what_a_trace_shows(self) -> None:
        """What the vendor got, and what the client did; of what was blocked nothing."""
        for action, seen in (("mask", "to [CANARY]"), ("block", "")):
            asked = guard(Canaries(), name="asked", action="mask")
            answered = guard(Canaries(), on=("response",), action=action)
            guarded = Guarded(asked, answered, vendor=(answer(f"to {CANARY}"),))
            call = guarded.call({"messages": [{"role": "user", "content": CANARY}]})
            call.record.trace = TraceContext("1" * 32, "2" * 16, capture=True)
            self.successResultOf(guarded.begin(call))
            content = call.record.content
            assert content is not None
            self.assertIn(b"[CANARY]", content.prompt)
            self.assertEqual("to [CANARY]" in content.answer.decode(), bool(seen))
            self.assertNotIn(b"canary-", content.prompt + content.answer)

    def test_a_trace_of_what_nobody_could_judge(self) -> None:
        """It shows nothing that a guardrail has not let pass."""
        during: Deferred[Any] = Deferred()
        shield = guard(checker=Told(lambda m: during), on=("during_call", "request"), timeout=9.0)
        away = guard(checker=Told(lambda m: GuardFailed("unavailable")), on=("response",))
        for each in (shield, away):
            guarded = Guarded(each, vendor=(answer(CANARY),))
            call = guarded.call({"messages": [{"role": "user", "content": "hi" if each is away else CANARY}]})
            call.record.trace = TraceContext("1" * 32, "2" * 16, capture=True)
            asking = guarded.begin(call)
            if each is shield:
                during.callback(Judgement("block"))
            self.failureResultOf(asking, ContentBlocked, GuardrailUnavailable)
            content = call.record.content
            self.assertNotIn("canary-", str(content))

    def test_a_trace_of_what_was_asked_for_in_vain_once_more(self) -> None:
        """What was blocked before is not in it either, where nobody is asked any more."""
        guarded = Guarded(guard(Canaries(), on=("response",), retry=True))
        call = guarded.call()

        async def ask(call: Call) -> Answer:
            if call.record.content is not None:
                raise NotFound("nobody is left")
            call.record.content = Content(b"hi", CANARY.encode())
            return answer(CANARY)

        self.failureResultOf(Deferred.fromCoroutine(compose(guarded.stages, ask)[call.operation](call)), NotFound)
        self.assertEqual(call.record.content, Content(b"hi"))

    def test_what_is_no_json(self) -> None:
        """Nobody can say what is in it: closed does not let it pass, and open tells so."""
        for body in (b'{"text": "%b \xff"}' % CANARY.encode(), b'{"text": "%b", "n": NaN}' % CANARY.encode()):
            for rule in ("closed", "open"):
                guarded = Guarded(guard(Canaries(), on=("response",), on_failure=rule), vendor=(Answer(body, None),))
                asking = guarded.ask(operation=Operation.RERANK, dialect="passthrough")
                if rule == "closed":
                    self.failureResultOf(asking, GuardrailUnavailable)
                else:
                    self.assertEqual(self.successResultOf(asking).body, body)
                self.assertEqual(guarded.facts["guardrails"][0]["cause"], "answer")

    def test_a_stream_that_cannot_be_read_is_let_go(self) -> None:
        stream = Stream((clock := Clock()), [ROLE], END)
        guarded = Guarded(guard(Canaries(), on=("response",), on_unreadable="refuse"), vendor=(lambda call: stream,))
        del clock
        asking = guarded.ask(operation=Operation.AUDIO_SPEECH, dialect="passthrough", stream=True)
        self.failureResultOf(asking, ContentUnreadable)
        self.assertTrue(stream.aborted)

    def test_items_that_are_kept(self) -> None:
        """What the client may refer to later is kept as it has seen it: its placeholders mean nothing then."""
        kept: dict[str, bytes] = {}

        def said(call: Any) -> Answer:
            call.remember("msg_1", b'{"type":"message","content":[{"type":"output_text","text":"to <CANARY_1>"}]}')
            return Answer(b"{}")

        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=(said,))
        keep = kept.__setitem__
        self.successResultOf(guarded.ask({"input": CANARY}, dialect="openai_responses", remember=keep))
        self.assertIn(CANARY.encode(), kept["msg_1"])

    def test_streams_through_the_stages(self) -> None:
        """Masked on the way out, put back for the client, and told when it has ended."""
        script: list[Any] = [[ROLE], [chunk("to <CANA")], [chunk("RY_1> not canary-5@leak.example.")], END]
        guarded = Guarded(
            guard(Canaries(), name="in", action="pseudonymize"),
            guard(Canaries(), name="out", action="mask", on=("response",)),
            vendor=(lambda call: Stream(guarded.world.clock, *script),),
        )
        stream = self.successResultOf(guarded.ask({"messages": [{"role": "user", "content": CANARY}]}, stream=True))
        text = self.successResultOf(Deferred.fromCoroutine(read(stream)))
        self.assertEqual(text, f"to {CANARY} not [CANARY].")
        self.assertEqual(guarded.verdicts, [("in", "request", "pseudonymize"), ("out", "response", "mask")])


class Together(SynchronousTestCase):
    def test_no_map_crosses_calls(self) -> None:
        """A thousand at once, whole and streamed, each with its own values behind the same placeholders."""
        waiting: list[Deferred[Any]] = []

        def says(call: Any) -> Any:
            number = int(json.loads(bytes(call.fields["messages"]))[0]["content"].rpartition(" ")[2])
            text = f"<CANARY_1> and <CANARY_2> for {number}"
            if not call.stream:
                return answer(text)
            return Stream(guarded.world.clock, [ROLE], [chunk(text[:5])], 0.5, [chunk(text[5:])], END)

        guarded = Guarded(guard(Canaries(), action="pseudonymize"), vendor=(0.5, says))
        for number in range(1000):
            said = f"canary-{number}@leak.example, canary-{number + 5000}@leak.example for {number}"
            fields = {"messages": [{"role": "user", "content": said}]}
            waiting.append(guarded.begin(guarded.call(fields, stream=number % 2 == 1)))
        guarded.world.clock.advance(0)  # who took a turn, where the machine is slow
        self.assertEqual(len(guarded.asked), 1000)
        self.assertNotIn("@leak", str(guarded.asked))
        guarded.world.pass_time(1.0)
        texts: list[Any] = []
        for each in waiting:
            reply = self.successResultOf(each)
            texts.append(text_of(reply) if isinstance(reply, Answer) else Deferred.fromCoroutine(read(reply)))
        guarded.world.pass_time(1.0)
        for number, text in enumerate(texts):
            found = self.successResultOf(text) if isinstance(text, Deferred) else text
            want = f"canary-{number}@leak.example and canary-{number + 5000}@leak.example for {number}"
            self.assertEqual(found, want)
