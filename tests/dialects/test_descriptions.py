"""Bodies that the gateway makes itself, against the published descriptions of their APIs: what is required is there,
and what may not be null is not.

Sources: github.com/openresponses/openresponses (schema), the types of @anthropic-ai/sdk and of openai for TypeScript,
the schemas by which ai-sdk.dev reads answers.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import InternalError
from llmedge.model import Usage
from llmedge.web.listing import SHAPES, Listed, openai_model

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
ASKED = _raw(b'{"tools":[{"type":"function","name":"f"},{"type":"web_search"}],"presence_penalty":0.5}')

TOKEN = ir.TokenLogprob("a", -0.5, None, (ir.TokenLogprob("a", -0.5),))
PARTS = (
    ir.Thinking("t", "s"),
    ir.Text("a", (ir.Citation("url", "https://a.example", "A"),)),
    ir.ToolCall("c", "f", "{}"),
)
ANSWER = ir.Answer((ir.Choice(PARTS, "tool", logprobs=(TOKEN,)),), "i", "m", 5, Usage(5, 6))
EVENTS: list[ir.StreamEvent] = [
    ir.Begin("i", "m", 5),
    ir.Open(0, "thinking"),
    ir.Delta(0, "t"),
    ir.Sign(0, "s"),
    ir.Close(0),
    ir.Open(1, "text"),
    ir.Delta(1, "a", 0, (TOKEN,)),
    ir.Cite(1, ir.Citation("url", "https://a.example", "A")),
    ir.Close(1),
    ir.Open(2, "tool", 0, "c", "f"),
    ir.Delta(2, "{}"),
    ir.Close(2),
    ir.Finish("tool"),
    ir.Counted(Usage(5, 6)),
    ir.End(),
]

Fields = dict[str, str]
"""Kind of object, or behind a point the field that it stands in → its fields that are required; ``?`` behind one that
may be null, ``-`` before one that has to be absent where there is nothing to say (clients refuse null)."""

RESPONSES: Fields = {
    "response": "id object created_at completed_at? status incomplete_details? model previous_response_id? output"
    " error? instructions? tools tool_choice truncation parallel_tool_calls text top_p presence_penalty top_logprobs"
    " frequency_penalty temperature reasoning? usage? max_output_tokens? max_tool_calls? store background service_tier"
    " metadata safety_identifier? prompt_cache_key? -user",
    ".usage": "input_tokens output_tokens total_tokens input_tokens_details output_tokens_details",
    ".input_tokens_details": "cached_tokens cache_write_tokens",
    ".output_tokens_details": "reasoning_tokens",
    "function": "type name description? parameters? strict?",
    "message": "type id status role content",
    "function_call": "type id call_id name arguments status",
    "reasoning": "type id summary -encrypted_content -content",
    "output_text": "type text annotations",
    "url_citation": "type url start_index end_index title",
    ".logprobs": "token logprob bytes top_logprobs",
    "response.output_item.added": "sequence_number output_index item",
    "response.output_item.done": "sequence_number output_index item",
    "response.content_part.added": "sequence_number item_id output_index content_index part",
    "response.content_part.done": "sequence_number item_id output_index content_index part",
    "response.output_text.delta": "sequence_number item_id output_index content_index delta logprobs",
    "response.output_text.done": "sequence_number item_id output_index content_index text logprobs",
    "response.output_text.annotation.added": "sequence_number item_id output_index content_index annotation_index"
    " annotation",
    "response.function_call_arguments.delta": "sequence_number item_id output_index delta",
    "response.function_call_arguments.done": "sequence_number item_id output_index name arguments",
    "response.reasoning_summary_part.added": "sequence_number item_id output_index summary_index part",
    "response.reasoning_summary_part.done": "sequence_number item_id output_index summary_index part",
    "response.reasoning_summary_text.delta": "sequence_number item_id output_index summary_index delta",
    "response.reasoning_summary_text.done": "sequence_number item_id output_index summary_index text",
    "response.completed": "sequence_number response",
    "error": "sequence_number code? message param?",
}
ANTHROPIC: Fields = {
    "message": "id type role model content stop_reason? stop_sequence? stop_details? container? usage",
    ".usage": "input_tokens output_tokens cache_creation_input_tokens cache_read_input_tokens output_tokens_details?"
    " server_tool_use?",
    ".cache_creation": "ephemeral_1h_input_tokens ephemeral_5m_input_tokens",
    "text": "type text -citations",
    "thinking": "type thinking signature",
    "tool_use": "type id name input",
    "web_search_result_location": "type cited_text encrypted_index title? url",
    "message_delta": "delta usage",
    "content_block_start": "index content_block",
    "content_block_delta": "index delta",
    "content_block_stop": "index",
    "model": "type id display_name created_at lifecycle capabilities? deprecated_at? line? retires_at? max_tokens?"
    " max_input_tokens?",
    "error": "type error",
}
CHAT: Fields = {
    "chat.completion": "id object created model choices usage",
    "chat.completion.chunk": "id object created model choices",
    "choice": "index finish_reason? logprobs?",
    "whole message": "role content? refusal? -annotations -audio -tool_calls -function_call",
    "tool_calls": "function",
    "usage": "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details",
    "content logprobs": "token logprob bytes? top_logprobs",
    "url_citation": "url title start_index end_index",
    "model": "id object created owned_by",
    "error": "message type code? param?",
}


class Described(SynchronousTestCase):
    def check(self, kind: str, found: dict[str, Any], fields: Fields) -> None:
        for field in fields[kind].split():
            name = field.strip("-?")
            if field.startswith("-"):
                self.assertNotIn((name, None), found.items(), f"{kind} {found}")
            else:
                self.assertIn(name, found, kind)
                self.assertTrue(field.endswith("?") or found[name] is not None, f"{kind}: {name}")

    def walk(self, value: Any, fields: Fields, seen: set[str], name: str = "") -> None:
        """Check whatever object is of a kind that is described: its type, else the field it stands in."""
        if isinstance(value, list):
            for each in value:
                self.walk(each, fields, seen, name)
        elif isinstance(value, dict):
            for kind in {value.get("type") or value.get("object") or f".{name}"} & fields.keys():
                seen.add(kind)
                self.check(kind, value, fields)
            for key, each in value.items():
                self.walk(each, fields, seen, key)

    def made(self, dialect: str, answer: ir.Answer = ANSWER, events: list[ir.StreamEvent] = EVENTS) -> list[Any]:
        """A whole answer, and the events of a stream and of its failure."""
        client: Any = DIALECTS[dialect]
        context = ResponseContext("m", "1", 5, True, ASKED, now=lambda: 7.5)
        frames = client.encoder(context).encode(list(events))
        data = b"".join(frame.frame for frame in frames) + client.error_frame(InternalError())
        said = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
        whole, failed = client.render_answer(answer, context), client.error_body(InternalError())
        return [json.loads(whole), json.loads(failed), *said]

    def test_responses(self) -> None:
        seen: set[str] = set()
        whole, failed, *events = self.made("openai_responses")
        self.walk([whole, events], RESPONSES, seen)
        self.assertEqual(seen, RESPONSES.keys())
        self.assertEqual((whole["completed_at"], whole["service_tier"], whole["presence_penalty"]), (7, "default", 0.5))
        self.assertEqual([tool.get("strict", "") for tool in whole["tools"]], [None, ""])
        self.assertIsNone(events[0]["response"]["completed_at"])
        self.assertEqual(events[-2]["response"]["completed_at"], 7)
        self.check("error", failed["error"], CHAT)

    def test_responses_that_are_not_complete(self) -> None:
        """They were never completed, and a thought alone has no proof."""
        answer = ir.Answer((ir.Choice((ir.Thinking("t"), ir.Text("a")), "length"),))
        bare = [event for event in EVENTS if not isinstance(event, ir.Sign | ir.Finish | ir.Counted)]
        whole, _, *events = self.made("openai_responses", answer, [*bare[:-1], ir.Finish("length"), ir.End()])
        self.walk([whole, events], RESPONSES, set())
        self.assertIsNone(whole["completed_at"])
        self.assertIsNone(events[-2]["response"]["completed_at"])

    def test_anthropic(self) -> None:
        seen: set[str] = set()
        made = self.made("anthropic")
        model, models = SHAPES["anthropic"]
        listed = Listed("m", "o", 5)
        bare = [event for event in EVENTS if not isinstance(event, ir.Cite | ir.Sign)]
        uncited = ir.Answer((ir.Choice((ir.Text("a"), ir.Refusal("no")), "stop"),))
        self.walk([made, self.made("anthropic", uncited, bare), model(listed), models([listed])], ANTHROPIC, seen)
        self.assertEqual(seen, ANTHROPIC.keys())
        self.assertEqual(json.loads(DIALECTS["anthropic"].render_count_answer(7)), {"input_tokens": 7})  # type: ignore[attr-defined]
        self.assertFalse(any("citations" in str(each) for each in self.made("anthropic", uncited, bare)))
        self.assertNotIn("service_tier", made[-3]["usage"])

    def test_chat(self) -> None:
        whole, failed, *chunks = self.made("openai_chat")
        for body in (whole, *chunks[:-1]):
            self.check(body["object"], body, CHAT)
            for choice in body["choices"]:
                self.check("choice", choice, CHAT)
                self.check("whole message", {"role": "", "content": "", "refusal": ""} | choice.get("delta", {}), CHAT)
                for likely in (choice["logprobs"] or {"content": []})["content"]:
                    self.check("content logprobs", likely, CHAT)
                for call in choice.get("delta", {}).get("tool_calls", ()):
                    self.check("tool_calls", call, CHAT)
        self.check("whole message", whole["choices"][0]["message"], CHAT)
        self.check("url_citation", whole["choices"][0]["message"]["annotations"][0]["url_citation"], CHAT)
        for usage in (whole["usage"], chunks[-2]["usage"]):
            self.check("usage", usage, CHAT)
        for error in (failed, chunks[-1]):
            self.check("error", error["error"], CHAT)
        self.check("model", openai_model(Listed("m", "o", 5)), CHAT)

    def test_a_late_signature(self) -> None:
        """Clients read a function in every piece of a call."""
        late: list[ir.StreamEvent] = [ir.Begin(), ir.Open(0, "tool", 0, "c", "f"), ir.Sign(0, "s")]
        frames = DIALECTS["openai_chat"].encoder(ResponseContext("m")).encode(late)  # type: ignore[attr-defined]
        (call,) = json.loads(frames[-1].frame[6:])["choices"][0]["delta"]["tool_calls"]
        self.check("tool_calls", call, CHAT)
