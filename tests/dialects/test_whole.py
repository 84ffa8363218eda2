"""Whole answers as streams: of vendors that do not stream although they were asked to."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.openai_text import OpenAIText
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.whole import events_of
from llmedge.errors import Unsupported, UpstreamMalformed, VendorFailed
from llmedge.model import EventKind, Usage
from tests.dialects.test_surrogates import SSE, texts

CONTEXT = ResponseContext("m", wants_usage=True)
SAID = (
    ir.Thinking("hm", "c2ln"),
    ir.Text("hello", (ir.Citation("url", url="https://a.example", title="A", text_start=0, text_end=5),)),
    ir.ToolCall("c1", "f", '{"a":1}'),
    ir.ToolCall("c2", "g", ""),
)
ANSWER = ir.Answer((ir.Choice(SAID, "tool"),), "i", "m", 5, Usage(3, 4))


def frames(events: list[Any]) -> bytes:
    return b"".join(event.frame for event in events)


def data_of(events: list[Any]) -> list[dict[str, Any]]:
    lines = frames(events).replace(b"\r", b"").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


class Pieces(SynchronousTestCase):
    def test_nothing_is_lost(self) -> None:
        """Texts, thoughts, calls, usage and the reason, passed on and translated to every client."""
        for vendor in (*SSE, "bedrock"):
            dialect: Any = DIALECTS[vendor]
            answer = dialect.parse_answer(dialect.render_answer(ANSWER, CONTEXT))
            for client in SSE:
                there: Any = DIALECTS[client]
                events = there.encoder(CONTEXT).encode(events_of(answer))
                self.said(there, events, (vendor, client))
            if vendor != "bedrock":
                self.said(dialect, dialect.pieces(dialect.render_answer(ANSWER, CONTEXT), CONTEXT), vendor)

    def said(self, dialect: Any, events: list[Any], where: Any) -> None:
        self.assertIs(events[-1].kind, EventKind.DONE, where)
        decoder = dialect.decoder(choices=1, max_event=1 << 20)
        read = decoder.feed(frames(events))
        read += [] if decoder.done else decoder.end()
        self.assertEqual(texts(read)["text"], "hello", where)
        self.assertEqual(texts(read)["thinking"], "hm", where)
        calls = [event for event in read if isinstance(event, ir.Open) and event.kind == "tool"]
        self.assertEqual([event.name for event in calls], ["f", "g"], where)
        for call, arguments in zip(calls, ({"a": 1}, {}), strict=True):
            said = [each.text for each in read if isinstance(each, ir.Delta) and each.block == call.block]
            self.assertEqual(json.loads("".join(said) or "{}"), arguments, where)
        self.assertEqual([each.reason for each in read if isinstance(each, ir.Finish)], ["tool"], where)
        self.assertEqual([each.usage for each in read if isinstance(each, ir.Counted)][-1], Usage(3, 4), where)

    def test_what_vendors_add(self) -> None:
        """Within one dialect it is there, too."""
        chat: Any = DIALECTS["openai_chat"]
        body = json.loads(chat.render_answer(ANSWER, CONTEXT)) | {"timings": {"ms": 1}}
        body["choices"][0]["logprobs"] = {"content": []}
        first, last = data_of(chat.pieces(json.dumps(body).encode(), CONTEXT))
        self.assertEqual((first["timings"], first["object"]), ({"ms": 1}, "chat.completion.chunk"))
        self.assertEqual(first["choices"][0]["logprobs"], {"content": []})
        self.assertEqual([each["index"] for each in first["choices"][0]["delta"]["tool_calls"]], [0, 1])
        self.assertEqual((last["choices"], last["usage"]["prompt_tokens"]), ([], 3))
        unasked = data_of(chat.pieces(json.dumps(body).encode(), ResponseContext("m")))
        self.assertEqual([len(each["choices"]) for each in unasked], [1])

        claude: Any = DIALECTS["anthropic"]
        body = json.loads(claude.render_answer(ANSWER, CONTEXT))
        search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
        found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
        body["content"] = [search, found, *body["content"]]
        events = data_of(claude.pieces(json.dumps(body).encode(), CONTEXT))
        starts = [each["content_block"] for each in events if each["type"] == "content_block_start"]
        self.assertEqual(starts[:2], [search | {"input": {}}, found])
        deltas = [each["delta"] for each in events if each["type"] == "content_block_delta" and each["index"] == 0]
        self.assertEqual([json.loads(each["partial_json"]) for each in deltas], [{"query": "q"}])
        self.assertEqual(events[0]["message"]["content"], [])

        responses: Any = DIALECTS["openai_responses"]
        body = json.loads(responses.render_answer(ANSWER, CONTEXT)) | {"new": 1}
        *_, end = data_of(responses.pieces(json.dumps(body).encode(), CONTEXT))
        self.assertEqual((end["type"], end["response"]), ("response.completed", body))

        gemini: Any = DIALECTS["gemini"]
        raw = gemini.render_answer(ANSWER, CONTEXT)
        self.assertEqual(data_of(gemini.pieces(raw, CONTEXT)), [json.loads(raw)])

    def test_several_choices_and_texts(self) -> None:
        """Each choice in a chunk of its own; a legacy completion's is the same in both."""
        choices = [{"index": index, "text": text, "finish_reason": "stop"} for index, text in enumerate("ab")]
        body = json.dumps({"id": "c", "object": "text_completion", "choices": choices}).encode()
        events = OpenAIText().pieces(body, CONTEXT)
        self.assertEqual([each["choices"] for each in data_of(events)], [[each] for each in choices])
        self.assertEqual({each["object"] for each in data_of(events)}, {"text_completion"})

    def test_what_is_no_answer(self) -> None:
        for client in SSE:
            dialect: Any = DIALECTS[client]
            for body in (b"{}", b"[]", b"{nope", b'{"choices":5,"content":5,"output":5,"candidates":5}'):
                self.assertRaises(UpstreamMalformed, dialect.pieces, body, CONTEXT)
            self.assertRaises(VendorFailed, dialect.pieces, b'{"error":{"message":"boom"}}', CONTEXT)
        self.assertRaises(Unsupported, DIALECTS["gemini_embeddings"].pieces, b"{}", CONTEXT)

    def test_what_a_stream_has_no_place_for(self) -> None:
        picture = ir.Image(ir.Source("base64", "AA==", "image/png"))
        self.assertRaises(VendorFailed, events_of, ir.Answer((ir.Choice((picture,), "stop"),)))
        sound = ir.Audio(ir.Source("base64", "AAAA", "audio/wav"), "said")
        self.assertIn(ir.Delta(0, "AAAA"), events_of(ir.Answer((ir.Choice((sound,), "stop"),))))
