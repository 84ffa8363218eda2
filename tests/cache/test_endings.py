"""Only what ended well and says something is kept."""

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.endings import ending


def chat(finish: str | None, **message: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]}


def frames(*events: object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def delta(finish: str | None = None, **said: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
WHOLE: dict[str, list[tuple[str, object]]] = {
    "openai_chat": [
        ("good", chat("stop", content="yes", refusal=None)),
        ("bad", chat("length", content="yes")),
        ("bad", chat("content_filter", content="yes")),
        ("bad", chat("stop", content="no", refusal="I will not")),
        ("bad", chat(None, content="yes")),
        ("tool", chat("tool_calls", content=None, tool_calls=CALL)),
        ("tool", chat("stop", content="", tool_calls=CALL)),
        ("good", chat("stop", content="yes", tool_calls=[])),
        ("empty", chat("stop", content="")),
        ("good", chat("stop", content='say "finish_reason":"length"')),
        ("bad", {"choices": [*chat("stop", content="a")["choices"], *chat("length", content="b")["choices"]]}),  # type: ignore[misc]
    ],
    "openai_text": [
        ("good", {"choices": [{"text": "yes", "finish_reason": "stop"}]}),
        ("bad", {"choices": [{"text": "yes", "finish_reason": "length"}]}),
        ("empty", {"choices": [{"text": "", "finish_reason": "stop"}]}),
    ],
    "openai_responses": [
        ("good", {"status": "completed", "output": [{"type": "message", "content": [{"text": "yes"}]}]}),
        ("bad", {"status": "incomplete", "output": [{"type": "message", "content": [{"text": "yes"}]}]}),
        ("bad", {"status": "completed", "output": [{"content": [{"type": "refusal", "refusal": "no", "text": "x"}]}]}),
        ("tool", {"status": "completed", "output": [{"type": "function_call", "name": "f"}]}),
        ("empty", {"status": "completed", "output": []}),
        ("bad", {"status": "failed", "output": []}),
    ],
    "anthropic": [
        ("good", {"content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn"}),
        ("good", {"content": [{"type": "text", "text": "yes"}], "stop_reason": "stop_sequence"}),
        ("bad", {"content": [{"type": "text", "text": "yes"}], "stop_reason": "max_tokens"}),
        ("bad", {"content": [{"type": "text", "text": "yes"}], "stop_reason": "refusal"}),
        ("bad", {"content": [{"type": "text", "text": "yes"}], "stop_reason": "pause_turn"}),
        ("tool", {"content": [{"type": "tool_use", "input": {"stop_reason": "end_turn"}}], "stop_reason": "tool_use"}),
        ("bad", {"content": [{"type": "tool_use", "input": {"stop_reason": "end_turn"}}], "stop_reason": "max_tokens"}),
        ("empty", {"content": [], "stop_reason": "end_turn"}),
    ],
    "gemini": [
        ("good", {"candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}]}),
        ("bad", {"candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "MAX_TOKENS"}]}),
        ("bad", {"candidates": [{"finishReason": "SAFETY"}]}),
        ("bad", {"promptFeedback": {"blockReason": "SAFETY"}}),
        ("tool", {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}]}),
        ("empty", {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}),
    ],
}
STREAMS: dict[str, list[tuple[str, bytes]]] = {
    "openai_chat": [
        ("good", frames(delta(role="assistant", content=""), delta(content="yes"), delta("stop"))),
        ("bad", frames(delta(content="yes"), delta("length"))),
        ("bad", frames(delta(refusal="no"), delta(content="yes"), delta("stop"))),
        ("tool", frames(delta(tool_calls=CALL), delta("tool_calls"))),
        ("tool", frames(delta(tool_calls=CALL), delta(content="x" * 5000), delta("stop"))),
        ("empty", frames(delta(role="assistant", content=""), delta("stop"))),
        ("bad", frames(delta(content="yes"))),
    ],
    "openai_responses": [
        (
            "good",
            frames(
                {"type": "response.created", "response": {"status": "in_progress"}},
                {"type": "response.output_text.done", "text": "yes"},
                {"type": "response.completed", "response": {"status": "completed"}},
            ),
        ),
        ("bad", frames({"text": "yes"}, {"type": "response.incomplete", "response": {"status": "incomplete"}})),
    ],
    "anthropic": [
        (
            "good",
            frames(
                {"type": "message_start", "message": {"stop_reason": None}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "yes"}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            ),
        ),
    ],
}


class Endings(SynchronousTestCase):
    def test_whole(self) -> None:
        """However its writer spaces members."""
        for dialect, table in WHOLE.items():
            for expected, answer in table:
                for separators in ((",", ":"), (", ", ": "), (" , ", " : ")):
                    body = json.dumps(answer, separators=separators).encode()
                    self.assertEqual(ending(dialect, body), expected, (dialect, body))

    def test_streams(self) -> None:
        for dialect, table in STREAMS.items():
            for expected, body in table:
                self.assertEqual(ending(dialect, body, True), expected, (dialect, body))
                self.assertEqual(ending(dialect, body), expected, (dialect, body))

    def test_what_no_text_is_in(self) -> None:
        self.assertEqual(ending("openai_embeddings", b"{}"), "good")
