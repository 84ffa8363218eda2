"""Whole answers, read and written."""

import json

from google.genai import types
from hypothesis import HealthCheck, given, settings
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.gemini import Gemini
from llmedge.errors import (
    UpstreamMalformed,
    VendorFailed,
)
from llmedge.model import Usage
from tests.dialects.gemini.strategies import answers
from tests.effort import examples

GEMINI = Gemini()
SLOW = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Answers(SynchronousTestCase):
    BODY = {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hm", "thought": True},
                        {"text": "é is it", "thoughtSignature": "Uw=="},
                        {"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "VA=="},
                        {"functionCall": {"id": "x", "name": "g", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
                    "groundingSupports": [
                        {"segment": {"partIndex": 1, "endIndex": 2, "text": "é"}, "groundingChunkIndices": [0]}
                    ],
                },
                "citationMetadata": {"citationSources": [{"startIndex": 3, "endIndex": 5, "uri": "https://c"}]},
                "logprobsResult": {
                    "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}],
                    "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
                },
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 10,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 2,
            "totalTokenCount": 24,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 3}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        },
        "modelVersion": "gemini-3-pro",
        "responseId": "abc-D_e",
        "createTime": "2026-01-02T03:04:05.5Z",
    }
    USAGE = Usage(input=12, output=12, cached=4, reasoning=7, audio_input=3, audio_output=1)

    def test_a_whole_answer(self) -> None:
        body = json.dumps(self.BODY).encode()
        self.assertEqual(GEMINI.read_answer(body), self.USAGE)
        cites = (
            ir.Citation("url", "https://a", "A", text_start=0, text_end=1),
            ir.Citation("url", "https://b"),
            ir.Citation("url", "https://c", text_start=2, text_end=4),
        )
        self.assertEqual(
            GEMINI.parse_answer(body),
            ir.Answer(
                (
                    ir.Choice(
                        (
                            ir.Thinking("Hm"),
                            ir.Text("é is it", cites),
                            ir.Thinking("", "Uw==", redacted=True),
                            ir.ToolCall("", "f", '{"a": 1.0}', "VA=="),
                            ir.ToolCall("x", "g", "{}"),
                        ),
                        "tool",
                        logprobs=(ir.TokenLogprob("é", -0.5, top=(ir.TokenLogprob("é", -0.5),)),),
                    ),
                ),
                "abc-D_e",
                "gemini-3-pro",
                1767323045,
                self.USAGE,
            ),
        )

    def test_reasons(self) -> None:
        """Each reason to stop has its counterpart, there and back."""
        for reason, finish in (
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "filter"),
            ("RECITATION", "filter"),
            ("LANGUAGE", "filter"),
            ("OTHER", "filter"),
            ("BLOCKLIST", "filter"),
            ("PROHIBITED_CONTENT", "filter"),
            ("SPII", "filter"),
            ("IMAGE_SAFETY", "filter"),
            ("SOMETHING_NEW", "stop"),
        ):
            body = json.dumps({"candidates": [{"finishReason": reason}]}).encode()
            self.assertEqual(GEMINI.parse_answer(body).choices, (ir.Choice((), finish),))
        for finish, reason in (
            ("stop", "STOP"),
            ("stop_sequence", "STOP"),
            ("tool", "STOP"),
            ("pause", "STOP"),
            ("length", "MAX_TOKENS"),
            ("context", "MAX_TOKENS"),
            ("filter", "SAFETY"),
            ("refusal", "SAFETY"),
        ):
            answer = ir.Answer((ir.Choice((ir.Refusal("no"),), finish),))
            candidate = json.loads(GEMINI.render_answer(answer, ResponseContext("m")))["candidates"][0]
            self.assertEqual(candidate["finishReason"], reason)
            self.assertEqual(candidate["content"], {"parts": [{"text": "no"}], "role": "model"})

    def test_a_blocked_prompt(self) -> None:
        """It is an answer that the filter ended."""
        body = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}'
        self.assertEqual(GEMINI.parse_answer(body), ir.Answer((ir.Choice((), "filter"),), usage=Usage(3)))

    def test_arguments_that_are_no_object(self) -> None:
        """Gemini's calls hold objects: what is none is put into one, and the reason stays."""
        for finish, reason in (("tool", "STOP"), ("length", "MAX_TOKENS")):
            answer = ir.Answer((ir.Choice((ir.ToolCall("1", "f", '{"a":'),), finish),))
            candidate = json.loads(GEMINI.render_answer(answer, ResponseContext("m")))["candidates"][0]
            call = {"id": "1", "name": "f", "args": {"invalid_arguments": '{"a":'}}
            self.assertEqual(candidate["content"]["parts"], [{"functionCall": call}])
            self.assertEqual(candidate["finishReason"], reason)

    def test_what_is_no_answer(self) -> None:
        """Errors in a 200 are raised as such, anything else is malformed; usage that makes no sense breaks nothing."""
        error = self.assertRaises(VendorFailed, GEMINI.parse_answer, b'{"error":{"code":500,"message":"boom"}}')
        self.assertIn("boom", error.message)
        for raw in (
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"candidates":5}',
            b'{"candidates":[{"content":{"parts":["\xff"]}}]}',
        ):
            self.assertRaises(UpstreamMalformed, GEMINI.parse_answer, raw)
            self.assertRaises(UpstreamMalformed, GEMINI.read_answer, raw)
        for strange in (b"-1", b"1e30", b'"7"', b"[]"):
            body = b'{"candidates":[],"usageMetadata":{"promptTokenCount":' + strange + b"}}"
            self.assertIsNone(GEMINI.read_answer(body))

    @SLOW
    @given(answers())
    def test_round_trip(self, answer: ir.Answer) -> None:
        """And Google's own types take what is rendered."""
        raw = GEMINI.render_answer(answer, ResponseContext("m"))
        self.assertEqual(GEMINI.parse_answer(raw), answer)
        types.GenerateContentResponse.model_validate(json.loads(raw))
