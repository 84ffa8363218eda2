"""Counting tokens."""

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.gemini import Gemini
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
)

GEMINI = Gemini()


class Counts(SynchronousTestCase):
    def test_requests(self) -> None:
        """Both shapes are understood, and counted for the vendor's model."""
        plain = GEMINI.parse_count_request(b'{"contents":[{"parts":[{"text":"a"}]}]}', model="m")
        self.assertEqual(GEMINI.forward_count(plain.fields, "v"), b'{"contents":[{"parts":[{"text":"a"}]}]}')
        raw = b'{"generate_content_request":{"model":"models/m","contents":[{}],"system_instruction":{"parts":[]}}}'
        wrapped = GEMINI.parse_count_request(raw, model="m")
        self.assertEqual(
            json.loads(GEMINI.forward_count(wrapped.fields, "v")),
            {"generateContentRequest": {"model": "models/v", "contents": [{}], "systemInstruction": {"parts": []}}},
        )
        request = GEMINI.parse(plain.fields)
        self.assertEqual(
            json.loads(GEMINI.render_count(request, "v", RenderContext({}, "refuse"))),
            {
                "generateContentRequest": {
                    "model": "models/v",
                    "contents": [{"role": "user", "parts": [{"text": "a"}]}],
                }
            },
        )
        bare = GEMINI.parse_count_request(b"{}", model="m").fields
        self.assertRaises(ValidationError, GEMINI.check, bare, counts=True)

    def test_answers(self) -> None:
        """A count is a whole number; an error is raised."""
        self.assertEqual(GEMINI.parse_count(b'{"totalTokens":7,"promptTokensDetails":[]}'), 7)
        self.assertEqual(GEMINI.parse_count(GEMINI.render_count_answer(9)), 9)
        for raw in (b"", b"{}", b'{"totalTokens":"x"}', b'{"totalTokens":-1}'):
            self.assertRaises(UpstreamMalformed, GEMINI.parse_count, raw)
        self.assertRaises(VendorFailed, GEMINI.parse_count, b'{"error":{"message":"m"}}')
