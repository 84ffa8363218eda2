import json

from google.genai import types
from hypothesis import HealthCheck, given, settings
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.gemini import Gemini
from llmedge.dialects.sse import SseParser
from llmedge.errors import EdgeError, UpstreamCut, UpstreamMalformed, UpstreamTooLarge, VendorFailed
from llmedge.model import Event, EventKind, Usage
from tests.dialects.gemini.strategies import answers
from tests.effort import examples

GEMINI = Gemini()
SLOW = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
HEAD = {"modelVersion": "gemini-3-pro", "responseId": "r1"}


def chunk(*parts: dict, finish: str | None = None, index: int = 0, usage: dict | None = None, **more: object) -> bytes:
    candidate: dict = {"content": {"parts": list(parts), "role": "model"}, "index": index} | more
    if finish:
        candidate["finishReason"] = finish
    said = {"candidates": [candidate], **({"usageMetadata": usage} if usage else {}), **HEAD}
    return b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\r\n\r\n"


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\r\n\r\n"


def decode(data: bytes, step: int = 10**9, choices: int = 1) -> list[ir.StreamEvent]:
    decoder = GEMINI.decoder(choices=choices, max_event=100_000)
    events: list[ir.StreamEvent] = []
    for start in range(0, len(data), step):
        events += decoder.feed(data[start : start + step])
    return events + decoder.end()


def read(data: bytes, step: int = 10**9, choices: int = 1) -> tuple[list[Event], Usage | None]:
    reader = GEMINI.reader(strip_usage=True, choices=choices, max_event=100_000)
    events: list[Event] = []
    for start in range(0, len(data), step):
        events += reader.feed(data[start : start + step])
    return events + reader.end(), reader.usage


def encode(events: list[ir.StreamEvent]) -> list[dict]:
    said = GEMINI.encoder(ResponseContext("m", "id")).encode(events)
    assert said[-1] == Event(EventKind.DONE, b"")
    for each in said[:-1]:
        assert each.frame.endswith(b"\r\n\r\n")
    documents = [json.loads(each.data) for each in SseParser(100_000).feed(b"".join(each.frame for each in said))]
    for document in documents:
        types.GenerateContentResponse.model_validate(document)
    return documents


TALK = (
    chunk({"text": "Hm", "thought": True}, usage={"promptTokenCount": 5, "thoughtsTokenCount": 2})
    + chunk({"text": "", "thought": True, "thoughtSignature": "Uw=="})
    + chunk({"text": "Hé"}, usage={"promptTokenCount": 5, "thoughtsTokenCount": 2, "candidatesTokenCount": 1})
    + chunk({"text": "llo"})
    + chunk({"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "VA=="})
    + chunk({"functionCall": {"id": "x", "name": "g", "args": {}}})
    + chunk(
        {"text": ""},
        finish="STOP",
        usage={"promptTokenCount": 5, "thoughtsTokenCount": 2, "candidatesTokenCount": 9},
    )
)


class Decoding(SynchronousTestCase):
    EVENTS = [
        ir.Begin("r1", "gemini-3-pro"),
        ir.Counted(Usage(5, 2, reasoning=2)),
        ir.Open(0, "thinking"),
        ir.Delta(0, "Hm"),
        ir.Sign(0, "Uw=="),
        ir.Close(0),
        ir.Counted(Usage(5, 3, reasoning=2)),
        ir.Open(1, "text"),
        ir.Delta(1, "Hé"),
        ir.Delta(1, "llo"),
        ir.Close(1),
        ir.Open(2, "tool", tool_id="", name="f", signature="VA=="),
        ir.Delta(2, '{"a": 1.0}'),
        ir.Close(2),
        ir.Open(3, "tool", tool_id="x", name="g"),
        ir.Delta(3, "{}"),
        ir.Close(3),
        ir.Counted(Usage(5, 11, reasoning=2)),
        ir.Finish("tool"),
        ir.End(),
    ]

    def test_thoughts_texts_and_calls(self) -> None:
        """Every part has its counterpart in the form."""
        self.assertEqual(decode(TALK), self.EVENTS)

    def test_split_at_every_byte(self) -> None:
        """However the network cuts it up, a stream says the same."""
        passed = read(TALK)
        for step in range(1, 40):
            self.assertEqual(decode(TALK, step), self.EVENTS)
            self.assertEqual(read(TALK, step), passed)
        for place in range(len(TALK)):
            decoder = GEMINI.decoder(choices=1, max_event=100_000)
            events = decoder.feed(TALK[:place]) + decoder.feed(TALK[place:]) + decoder.end()
            self.assertEqual(events, self.EVENTS)

    def test_signature_of_a_text(self) -> None:
        """It comes after the text, with it or in a part of its own."""
        wanted = [
            ir.Begin("r1", "gemini-3-pro"),
            ir.Open(0, "text"),
            ir.Delta(0, "a"),
            ir.Close(0),
            ir.Open(1, "thinking", signature="Uw==", redacted=True),
            ir.Close(1),
            ir.Finish("length"),
            ir.End(),
        ]
        self.assertEqual(decode(chunk({"text": "a", "thoughtSignature": "Uw=="}, finish="MAX_TOKENS")), wanted)
        apart = chunk({"text": "a"}) + chunk({"text": "", "thoughtSignature": "Uw=="}, finish="MAX_TOKENS")
        self.assertEqual(decode(apart), wanted)

    def test_grounding_and_likelihoods(self) -> None:
        """Bytes are counted as characters, and tokens keep their likelihood."""
        grounding = {
            "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
            "groundingSupports": [{"segment": {"startIndex": 2, "endIndex": 4}, "groundingChunkIndices": [0, 7]}],
        }
        logprobs = {"chosenCandidates": [{"token": "b", "logProbability": -1.5}]}
        data = chunk({"text": "é"}) + chunk(
            {"text": "b!"}, finish="STOP", groundingMetadata=grounding, logprobsResult=logprobs
        )
        events = decode(data)
        self.assertIn(ir.Cite(0, ir.Citation("url", "https://a", "A", text_start=1, text_end=3)), events)
        self.assertIn(ir.Delta(0, "b!", 0, (ir.TokenLogprob("b", -1.5),)), events)

    def test_choices_and_sound(self) -> None:
        """Several choices mix, and each ends for its own reason."""
        sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAA="}}
        data = chunk({"text": "a"}) + chunk(sound, index=1, finish="STOP") + chunk({"text": "b"}, finish="SAFETY")
        self.assertEqual(
            decode(data, choices=2)[1:],
            [
                ir.Open(0, "text"),
                ir.Delta(0, "a"),
                ir.Open(0, "audio", 1),
                ir.Delta(0, "AAA=", 1),
                ir.Delta(0, "b"),
                ir.Close(0),
                ir.Finish("filter"),
                ir.Close(0, 1),
                ir.Finish("stop", 1),
                ir.End(),
            ],
        )

    def test_a_blocked_prompt(self) -> None:
        """It is an answer that the filter ended."""
        data = event(promptFeedback={"blockReason": "SAFETY"}, **HEAD)
        self.assertEqual(decode(data), [ir.Begin("r1", "gemini-3-pro"), ir.Finish("filter"), ir.End()])
        events, _ = read(data)
        self.assertEqual([each.kind.name for each in events], ["CONTENT", "DONE"])

    def test_stop_in_each_event(self) -> None:
        """Some models say STOP all the time: it is believed at the end."""
        data = chunk({"text": "a"}, finish="STOP") + chunk({"text": "b"}, finish="STOP")
        deltas = [each.text for each in decode(data) if isinstance(each, ir.Delta)]
        self.assertEqual(deltas, ["a", "b"])
        for whole in (decode, read):
            self.assertRaises(UpstreamCut, whole, chunk({"text": "a"}, finish="STOP") + chunk({"text": "b"}))

    def test_a_cut_is_never_an_end(self) -> None:
        """Wherever it is cut before the last event is whole (the blank line after it may be missing)."""
        for end in range(len(TALK) - 4):
            self.assertRaises(UpstreamCut, decode, TALK[:end])
            self.assertRaises(UpstreamCut, read, TALK[:end])
        for end in range(len(TALK) - 4, len(TALK)):
            self.assertEqual(decode(TALK[:end])[-1], ir.End())
            self.assertIs(read(TALK[:end])[0][-1].kind, EventKind.DONE)
        for whole in (decode, read):
            self.assertRaises(UpstreamCut, whole, TALK, choices=2)
            self.assertRaises(UpstreamCut, whole, TALK + chunk({"text": "b"}, index=1))

    def test_errors_and_malformed_events(self) -> None:
        """Good events before it are given first."""
        error = event(error={"code": 503, "message": "overloaded", "status": "UNAVAILABLE"})
        for bad, kind in (
            (error, VendorFailed),
            (b'data: {"candidates":5}\n\n', UpstreamMalformed),
            (b"data: " + b"x" * 200_000, UpstreamTooLarge),
        ):
            for reader in (
                GEMINI.decoder(choices=1, max_event=100_000),
                GEMINI.reader(strip_usage=False, choices=1, max_event=100_000),
            ):
                self.assertTrue(reader.feed(chunk({"text": "a"})))
                self.assertRaises(kind, reader.feed, bad)
                self.assertIsInstance(reader.broken, kind)
                self.assertRaises(kind, reader.end)
        decoder = GEMINI.decoder(choices=1, max_event=100_000)
        decoder.feed(chunk({"inlineData": {"mimeType": "image/png", "data": "AA=="}}))
        self.assertIsInstance(decoder.broken, VendorFailed)


class Passing(SynchronousTestCase):
    def test_frames_are_passed_on(self) -> None:
        """As Google sent them, usage in each, and an end without a frame."""
        events, usage = read(TALK)
        self.assertEqual(b"".join(each.frame for each in events), TALK)
        self.assertEqual(usage, Usage(5, 11, reasoning=2))
        self.assertEqual({each.kind for each in events[:-1]}, {EventKind.CONTENT})
        self.assertEqual(events[-1], Event(EventKind.DONE, b""))

    def test_what_says_nothing_is_held_back(self) -> None:
        """Frames without content are lifecycle."""
        events, _ = read(event(**HEAD) + chunk() + chunk({"text": "a"}, finish="STOP"))
        self.assertEqual([each.kind.name for each in events], ["LIFECYCLE", "LIFECYCLE", "CONTENT", "DONE"])

    def test_lines(self) -> None:
        """JSON over several lines is passed on with Google's line ends."""
        pretty = b'data: {\ndata:  "candidates": [{"finishReason": "STOP"}]\ndata: }\n\n'
        events, _ = read(pretty)
        self.assertEqual(
            events[0].frame, b'data: {\r\ndata:  "candidates": [{"finishReason": "STOP"}]\r\ndata: }\r\n\r\n'
        )


class Encoding(SynchronousTestCase):
    def test_everything(self) -> None:
        """Each event as Google's frames have it."""
        head = {"modelVersion": "gemini-3-pro", "responseId": "r1"}

        def said(part: dict, **more: object) -> dict:
            return {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0} | more], **head}

        self.assertEqual(
            encode(Decoding.EVENTS),
            [
                said({"text": "Hm", "thought": True}),
                said({"text": "", "thought": True, "thoughtSignature": "Uw=="}),
                said({"text": "Hé"}),
                said({"text": "llo"}),
                said({"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "VA=="}),
                said({"functionCall": {"id": "x", "name": "g", "args": {}}}),
                said({"text": ""}, finishReason="STOP")
                | {
                    "usageMetadata": {
                        "promptTokenCount": 5,
                        "candidatesTokenCount": 9,
                        "thoughtsTokenCount": 2,
                        "totalTokenCount": 16,
                    }
                },
            ],
        )

    def test_parallel_calls_in_pieces(self) -> None:
        """A call is told when it is whole, its arguments byte for byte; one that never becomes whole is put into an
        object."""
        encoder = GEMINI.encoder(ResponseContext("m", "i", 1))
        begun = encoder.encode([ir.Begin(), ir.Open(0, "tool", 0, "a", "f"), ir.Open(1, "tool", 0, "b", "g")])
        self.assertEqual(begun, [])
        pieces = [ir.Delta(1, '{"y":'), ir.Delta(0, '{ "x" : 1e0'), ir.Delta(1, "[")]
        self.assertEqual(encoder.encode([*pieces, ir.Delta(0, "}")]), [])
        (call,) = encoder.encode([ir.Close(0)])
        self.assertIn(b'{"functionCall":{"id":"a","name":"f","args":{ "x" : 1e0}}}', call.frame)
        broken, last, done = encoder.encode([ir.Close(1), ir.Finish("tool"), ir.End()])
        self.assertIn(b'"args":{"invalid_arguments":"{\\"y\\":["}', broken.frame)
        (candidate,) = json.loads(last.frame[6:])["candidates"]
        self.assertEqual(candidate["finishReason"], "STOP")
        self.assertEqual(json.loads(last.frame[6:])["createTime"], "1970-01-01T00:00:01Z")
        self.assertIs(done.kind, EventKind.DONE)

    def test_refusals_citations_and_likelihoods(self) -> None:
        """Characters are counted as bytes, and refusals end for safety."""
        events = [
            ir.Begin("r", "m"),
            ir.Open(0, "text"),
            ir.Delta(0, "éa", 0, (ir.TokenLogprob("é", -1.0),)),
            ir.Cite(0, ir.Citation("url", "https://a", "A", text_start=1, text_end=2)),
            ir.Close(0),
            ir.Open(1, "refusal"),
            ir.Delta(1, "no"),
            ir.Close(1),
            ir.Open(2, "thinking", 0, signature="Uw==", redacted=True),
            ir.Close(2),
            ir.Finish("refusal"),
            ir.End(),
        ]
        first, refusal, signature, last = (each["candidates"][0] for each in encode(events))
        self.assertEqual(first["logprobsResult"], {"chosenCandidates": [{"token": "é", "logProbability": -1.0}]})
        self.assertEqual(refusal["content"]["parts"], [{"text": "no"}])
        self.assertEqual(signature["content"]["parts"], [{"text": "", "thoughtSignature": "Uw=="}])
        self.assertEqual(last["finishReason"], "SAFETY")
        self.assertEqual(
            last["groundingMetadata"],
            {
                "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                "groundingSupports": [
                    {
                        "segment": {"partIndex": 0, "startIndex": 2, "endIndex": 3, "text": "a"},
                        "groundingChunkIndices": [0],
                    }
                ],
            },
        )

    def test_there_and_back(self) -> None:
        """What is encoded decodes to the same."""
        frames = b"".join(each.frame for each in GEMINI.encoder(ResponseContext("m")).encode(Decoding.EVENTS))
        again = [each for each in decode(frames) if not isinstance(each, ir.Counted)]
        self.assertEqual(again, [each for each in Decoding.EVENTS if not isinstance(each, ir.Counted)])

    @SLOW
    @given(answers())
    def test_any_answer(self, answer: ir.Answer) -> None:
        """Any answer as a stream: encoded, decoded and put together again it says the same."""
        events = events_of(answer)
        frames = b"".join(each.frame for each in GEMINI.encoder(ResponseContext("m")).encode(events))
        again = decode(frames, choices=len(answer.choices))
        for choice in answer.choices:
            self.assertEqual(gist(again, choice.index), gist(events, choice.index))
        self.assertEqual(decode(frames, 3, choices=len(answer.choices)), again)

    def test_through_both(self) -> None:
        """A stream translated from Gemini to Gemini reports its usage."""
        decoder, encoder = GEMINI.decoder(choices=1, max_event=10_000), GEMINI.encoder(ResponseContext("m"))
        reader = TranslatedReader(decoder, encoder, CallIds("1"))
        events = reader.feed(TALK) + reader.end()
        self.assertIs(events[-1].kind, EventKind.DONE)
        self.assertEqual(reader.usage, Usage(5, 11, reasoning=2))

    def test_heartbeat_says_nothing(self) -> None:
        """Not even a comment, which google-genai would take for an error."""
        self.assertEqual(SseParser(100).feed(GEMINI.heartbeat), [])
        self.assertEqual(GEMINI.heartbeat.strip(), b"")

    def test_errors_in_a_stream(self) -> None:
        """An error is a frame with Google's code and status."""
        (frame,) = SseParser(10_000).feed(GEMINI.error_frame(EdgeError("m")))
        self.assertTrue(frame.data.startswith(b'{"error":{"code":500,"message":"m","status":"INTERNAL"'))


def events_of(answer: ir.Answer) -> list[ir.StreamEvent]:
    events: list[ir.StreamEvent] = [ir.Begin(answer.id, answer.model, answer.created)]
    for choice in answer.choices:
        for number, part in enumerate(each for each in choice.parts if not isinstance(each, ir.Image)):
            at = (number, choice.index)
            if isinstance(part, ir.Text):
                events += [ir.Open(number, "text", choice.index), ir.Delta(number, part.text, choice.index)]
                events += [ir.Cite(number, cite, choice.index) for cite in part.citations]
            elif isinstance(part, ir.ToolCall):
                events.append(ir.Open(number, "tool", choice.index, part.id, part.name, part.signature))
                events.append(ir.Delta(number, part.arguments, choice.index))
            elif isinstance(part, ir.Thinking):
                signature = part.signature if part.redacted else ""
                events.append(ir.Open(number, "thinking", choice.index, "", "", signature, part.redacted))
                events += [ir.Delta(number, part.text, choice.index)] if part.text else []
            if isinstance(part, ir.Thinking) and part.signature and not part.redacted:
                events.append(ir.Sign(number, part.signature, choice.index))
            events.append(ir.Close(*at))
        events.append(ir.Finish(choice.finish, choice.index))
    return [*events, ir.Counted(answer.usage or Usage()), ir.End()]


def gist(events: list[ir.StreamEvent], choice: int) -> list[tuple]:
    """What a stream says of one choice, whatever its blocks."""
    said: list[tuple] = []
    kinds: dict[int, str] = {}
    for each in events:
        if getattr(each, "choice", None) != choice:
            continue
        if isinstance(each, ir.Open):
            kinds[each.block] = each.kind
            if each.kind == "tool" or each.redacted:
                said.append((each.kind, each.tool_id, each.name, each.signature))
        elif isinstance(each, ir.Delta):
            if said and said[-1][0] == kinds[each.block] and kinds[each.block] != "tool":
                said[-1] = (said[-1][0], said[-1][1] + each.text)
            else:
                said.append((kinds[each.block], each.text))
        elif isinstance(each, ir.Sign):
            if kinds[each.block] == "tool":  # before the arguments or after them
                said.insert(-1 if len(said[-1]) == 2 else len(said), ("sign", each.signature))
            else:
                said.append(("sign", each.signature))
        elif isinstance(each, ir.Finish):
            said.append((each.reason,))
    cites = [each.citation for each in events if isinstance(each, ir.Cite) and each.choice == choice]
    return [*said, *((cite.url, cite.text_start, cite.text_end) for cite in cites)]
