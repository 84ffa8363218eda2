"""A client of OpenAI's chat and a model on Bedrock."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.dialect import ResponseContext, TranslatedReader
from llmedge.dialects.openai_chat import OpenAIChat
from tests.dialects.bedrock.cases import COUNTED, DIALECT, WHOLE, render


class Translated(SynchronousTestCase):
    """A client of OpenAI's chat and a model on Bedrock."""

    maxDiff = None

    def test_a_request(self) -> None:
        """Turns, tools and settings are said as Converse has them."""
        asked = {
            "model": "m",
            "max_tokens": 50,
            "stop": "END",
            "reasoning_effort": "low",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look."},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                        {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "t1", "content": "one"},
                {"role": "tool", "tool_call_id": "t2", "content": "two"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": "auto",
        }
        openai = OpenAIChat()
        request = openai.parse(openai.parse_request(json.dumps(asked).encode()).fields)
        self.assertEqual(
            render(request)[0],
            {
                "system": [{"text": "Be brief."}],
                "messages": [
                    {
                        "role": "user",
                        "content": [{"text": "Look."}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}],
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                            {"toolUse": {"toolUseId": "t2", "name": "f", "input": {}}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}},
                            {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}]}},
                        ],
                    },
                ],
                "inferenceConfig": {"maxTokens": 50, "stopSequences": ["END"]},
                "toolConfig": {
                    "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}],
                    "toolChoice": {"auto": {}},
                },
                "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
                "additionalModelResponseFieldPaths": ["/stop_sequence"],
                "outputConfig": {"effort": "low"},
            },
        )

    def test_a_stream(self) -> None:
        """Read by the reader of OpenAI's own streams: whole, and with its usage."""
        decoder = DIALECT.decoder(choices=1, max_event=10_000)
        translated = TranslatedReader(decoder, OpenAIChat().encoder(ResponseContext("m", "id1", 7, True)), CallIds("1"))
        frames = b"".join(event.frame for event in translated.feed(WHOLE))
        self.assertEqual(translated.usage, COUNTED)
        reader = OpenAIChat().decoder(choices=1, max_event=10_000)
        events = reader.feed(frames)
        deltas = [event.text for event in events if isinstance(event, ir.Delta)]
        self.assertEqual(deltas, ["h", "m", "Hé", "llo", '{"a":', " 1}", "{}"])
        self.assertEqual(
            [event.tool_id for event in events if isinstance(event, ir.Open) and event.tool_id], ["t1", "t2"]
        )
        self.assertEqual(events[-1], ir.End())
