"""Signatures as clients send them back, and what stands in for one."""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.signatures import STAND_IN, own_signature
from tests.dialects.parsing import parse

TEXTS = (STAND_IN, "context_engineering_is_the_way_to_go")
FORMS = [
    form
    for text in TEXTS
    for encoded in (base64.b64encode(text.encode()).decode(), base64.urlsafe_b64encode(text.encode()).decode())
    for form in (text, encoded, encoded.rstrip("="))
]


def said(client: str, signature: str) -> list[ir.Part]:
    """The parts of an assistant's turn whose call and thought have this signature."""
    google: dict[str, Any] = {"extra_content": {"google": {"thought_signature": signature}}}
    call = {"name": "f", "arguments": "{}"}
    turn: dict[str, dict[str, Any]] = {
        "openai_chat": {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call, **google}]}
            ]
        },
        "openai_responses": {
            "input": [
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "t"}],
                    "encrypted_content": signature,
                },
                {"type": "function_call", "call_id": "c", **call, **google},
            ]
        },
        "anthropic": {
            "messages": [
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": signature}]}
            ]
        },
        "gemini": {
            "contents": [
                {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": signature}]},
            ]
        },
    }
    return [part for message in parse(client, **turn[client]).messages for part in message.parts]


class Signatures(SynchronousTestCase):
    def test_stand_ins(self) -> None:
        """Both of Google's, as text and in either alphabet of base64, are no signature in any client's dialect."""
        for client in ("openai_chat", "openai_responses", "anthropic", "gemini"):
            for form in FORMS:
                parts = said(client, form)
                self.assertTrue(parts)
                self.assertEqual({part.signature for part in parts}, {""}, f"{client}: {form}")  # type: ignore[union-attr]

    def test_others(self) -> None:
        """They are left as they are."""
        for signature in ("", "Uw==", "skip", STAND_IN + "x", base64.b64encode(STAND_IN.encode() + b"x").decode()):
            self.assertEqual(own_signature(signature), signature)
        for client in ("openai_chat", "openai_responses", "anthropic", "gemini"):
            self.assertEqual({part.signature for part in said(client, "Uw==")}, {"Uw=="})  # type: ignore[union-attr]
