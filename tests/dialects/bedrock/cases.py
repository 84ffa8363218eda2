"""Written from docs.aws.amazon.com/bedrock/latest/APIReference (Converse, ConverseStream): a request and a stream."""

from __future__ import annotations

import json
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.bedrock import Bedrock
from llmedge.dialects.bedrock.stream import frame
from llmedge.dialects.rendering import RenderContext
from llmedge.model import Usage

DIALECT = Bedrock()
CLAUDE = "us.anthropic.claude-sonnet-4-6-v1:0"
CLOSED = b'{"type": "object", "properties": {}, "additionalProperties": false}'
REQUEST = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}, {"text": "Be kind."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "What is this?"},
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/i.jpg"}}}},
                {
                    "document": {
                        "name": "Report 1",
                        "source": {"bytes": "JVBERg=="},
                        "format": "pdf",
                        "context": "of last year",
                        "citations": {"enabled": True},
                    }
                },
                {"document": {"name": "Notes", "source": {"text": "a note"}}},
                {"audio": {"format": "mp3", "source": {"bytes": "AAA="}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "eHl6"}},
                {
                    "citationsContent": {
                        "content": [{"text": "A cat."}],
                        "citations": [
                            {
                                "title": "Report 1",
                                "sourceContent": [{"text": "cat"}],
                                "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}},
                            },
                        ],
                    }
                },
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"b": 1.0, "a": "é"}}},
                {"toolUse": {"toolUseId": "t2", "name": "look", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "seen"}]}},
                {
                    "toolResult": {
                        "toolUseId": "t2",
                        "content": [
                            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                            {"document": {"name": "Log", "source": {"bytes": "eA=="}, "format": "txt"}},
                        ],
                        "status": "error",
                    }
                },
                {"cachePoint": {"type": "default"}},
                {"text": "And now?"},
            ],
        },
    ],
    "inferenceConfig": {"maxTokens": 9000, "temperature": 1.0, "topP": 0.96, "stopSequences": ["END"]},
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "look",
                    "description": "Looks.",
                    "inputSchema": {"json": {"type": "object", "properties": {}, "additionalProperties": False}},
                    "strict": True,
                }
            },
            {"cachePoint": {"type": "default"}},
        ],
        "toolChoice": {"auto": {}},
    },
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "additionalModelRequestFields": {
        "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"},
    },
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": CLOSED.decode(), "name": "n", "description": "d"}},
        },
        "effort": "high",
    },
    "requestMetadata": {"team": "a"},
    "serviceTier": {"type": "flex"},
}


def render(
    request: ir.Request, model: str = CLAUDE, drop: bool = False, quirks: frozenset[str] = frozenset()
) -> tuple[Any, list[str]]:
    context = RenderContext({}, "drop" if drop else "refuse")
    return json.loads(DIALECT.render(request, model, context, stream=False, quirks=quirks)), context.dropped


USAGE = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 42,
    "cacheReadInputTokens": 5,
    "cacheWriteInputTokens": 7,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}],
}
COUNTED = Usage(input=22, output=20, cached=5, cache_write=7, cache_write_1h=4)
REASONS = {
    "end_turn": "stop",
    "tool_use": "tool",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "model_context_window_exceeded": "context",
    "something_new": "stop",
}


def start(index: int, tool_id: str, name: str, **more: Any) -> bytes:
    use = {"toolUseId": tool_id, "name": name, **more}
    return frame("contentBlockStart", {"start": {"toolUse": use}, "contentBlockIndex": index, "p": "abc"})


def delta(index: int, **said: Any) -> bytes:
    return frame("contentBlockDelta", {"delta": said, "contentBlockIndex": index, "p": "abcdef"})


def close(index: int) -> bytes:
    return frame("contentBlockStop", {"contentBlockIndex": index, "p": "a"})


def stop(reason: str = "end_turn", **more: Any) -> bytes:
    return frame("messageStop", {"stopReason": reason, "p": "a", **more})


def thought(index: int, **said: str) -> bytes:
    return delta(index, reasoningContent=said)


BEGIN = frame("messageStart", {"role": "assistant", "p": "abcd"})
METADATA = frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}, "p": "a"})
WHOLE = (
    BEGIN
    + thought(0, text="h")
    + thought(0, text="m")
    + thought(0, signature="c2")
    + thought(0, signature="ln")
    + close(0)
    + thought(1, redactedContent="eHl6")
    + close(1)
    + delta(2, text="")
    + delta(2, text="Hé")
    + delta(2, text="llo")
    + delta(2, citation={"title": "t", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}})
    + close(2)
    + start(3, "t1", "f")
    + delta(3, toolUse={"input": ""})
    + delta(3, toolUse={"input": '{"a":'})
    + delta(3, toolUse={"input": " 1}"})
    + close(3)
    + start(4, "t2", "g")
    + close(4)
    + stop("tool_use")
    + METADATA
)
EVENTS: list[ir.StreamEvent] = [
    ir.Begin(),
    ir.Open(0, "thinking"),
    ir.Delta(0, "h"),
    ir.Delta(0, "m"),
    ir.Sign(0, "c2ln"),
    ir.Close(0),
    ir.Open(1, "thinking", signature="eHl6", redacted=True),
    ir.Close(1),
    ir.Open(2, "text"),
    ir.Delta(2, "Hé"),
    ir.Delta(2, "llo"),
    ir.Cite(2, ir.Citation("page", title="t", document=0, start=1, end=2)),
    ir.Close(2),
    ir.Open(3, "tool", tool_id="t1", name="f"),
    ir.Delta(3, '{"a":'),
    ir.Delta(3, " 1}"),
    ir.Close(3),
    ir.Open(4, "tool", tool_id="t2", name="g"),
    ir.Delta(4, "{}"),
    ir.Close(4),
    ir.Finish("tool"),
    ir.Counted(COUNTED),
    ir.End(),
]
