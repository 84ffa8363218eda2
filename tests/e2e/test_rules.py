"""The rules that conversations are held against find what they are for."""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.conversations.pictures import CAT, pictures
from tests.e2e.conversations.rules import faults

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "user", "content": "x"}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
TEXT = {"type": "text", "text": "x"}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "y"}
ITEM = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "y"}
SAID = {"role": "user", "parts": [{"text": "x"}]}
CALLED = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
ANSWERED = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "y"}}}]}


def chat(*messages: Any, **more: Any) -> Any:
    return {"messages": [ASKED, *messages], **more}


def anthropic(*turns: tuple[str, list[Any]], **more: Any) -> Any:
    return {"messages": [ASKED, *({"role": role, "content": blocks} for role, blocks in turns)], **more}


CALLS, TOLD = {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "y"}
GOOD = (
    ("chat", chat(CALLS, TOLD)),
    ("responses", {"input": [ASKED, ITEM, OUTPUT]}),
    ("anthropic", anthropic(("assistant", [USE]), ("user", [RESULT, TEXT]))),
    ("gemini", {"contents": [SAID, CALLED, ANSWERED]}),
)
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BAD = (
    ("chat", chat(TOLD), "without its call"),
    ("chat", chat(CALLS, ASKED, TOLD), "before the results"),
    ("chat", chat(CALLS, {"role": "assistant", "content": ""}, TOLD), "says nothing"),
    ("chat", chat(CALLS), "no results for"),
    ("chat", chat(CALLS, TOLD, CALLS, TOLD), "twice"),
    ("chat", chat(CALLS, TOLD | {"content": [{"type": "image_url", "image_url": {}}]}), "more than text"),
    ("chat", chat(tool_choice="auto"), "no tools"),
    ("chat", chat(user="u" * 65), "64 characters"),
    ("chat", chat(tools=[FUNCTION, FUNCTION]), "one name"),
    ("chat", chat(tools=[{"type": "function", "function": {"name": "a.b"}}]), "tool name"),
    ("chat", chat({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}), "cache_control"),
    ("responses", {"input": [ITEM]}, "without outputs"),
    ("responses", {"input": [OUTPUT]}, "without its call"),
    ("responses", {"input": [{"type": "reasoning", "summary": []}]}, "nobody's"),
    ("responses", {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}, "output_text"),
    (
        "anthropic",
        anthropic(("assistant", [USE]), ("user", [{"type": "text", "text": "x"}, RESULT])),
        "after the calls",
    ),
    (
        "anthropic",
        anthropic(
            ("assistant", [USE]),
        ),
        "no results for",
    ),
    ("anthropic", anthropic(("user", [{"type": "text", "text": ""}])), "empty"),
    ("anthropic", anthropic(("system", [TEXT])), "role system"),
    ("anthropic", anthropic(("assistant", [{"type": "thinking", "thinking": "x"}])), "without signature"),
    (
        "anthropic",
        anthropic(("assistant", [USE]), ("user", [RESULT]), thinking={"type": "enabled", "budget_tokens": 1024}),
        "without a thought",
    ),
    ("gemini", {"contents": [SAID, CALLED]}, "no responses"),
    ("gemini", {"contents": [SAID, CALLED, SAID, ANSWERED]}, "come the responses"),
    ("gemini", {"contents": [{"role": "user", "parts": []}]}, "empty part"),
    ("gemini", {"contents": [{"role": "user", "parts": [{"text": ""}]}]}, "empty part"),
    ("gemini", {"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "role system"),
)


class Rules(SynchronousTestCase):
    def test_what_is_good(self) -> None:
        for dialect, body in GOOD:
            self.assertEqual(faults(dialect, body), [], dialect)

    def test_what_is_bad(self) -> None:
        for dialect, body, fault in BAD:
            self.assertIn(fault, "; ".join(faults(dialect, body)), (dialect, body))

    def test_pictures(self) -> None:
        """Where each dialect has them; only Google reads both alphabets of base64."""
        plain, for_urls = base64.b64encode(CAT).decode(), base64.urlsafe_b64encode(CAT).decode()
        self.assertNotEqual(plain, for_urls)
        for data, dialects in ((plain, ("chat", "responses", "anthropic", "gemini")), (for_urls, ("gemini",))):
            for dialect in ("chat", "responses", "anthropic", "gemini"):
                body = {
                    "chat": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
                    "responses": {"type": "input_image", "image_url": f"data:image/png;base64,{data}"},
                    "anthropic": {"type": "image", "source": {"type": "base64", "data": data}},
                    "gemini": {"inlineData": {"data": data}},
                }[dialect]
                if dialect in dialects:
                    self.assertEqual(pictures(dialect, [{"deep": [body]}]), [CAT], dialect)
                else:
                    self.assertRaises(ValueError, pictures, dialect, [body])
