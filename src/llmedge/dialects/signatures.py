"""Signatures of calls and thoughts, and what stands in for one."""

from __future__ import annotations

import base64

from llmedge.dialects.fields import Fields

STAND_IN = "skip_thought_signature_validator"
"""Instead of one, for a call that Gemini did not make, or whose client lost it: Gemini 3 refuses calls without
(ai.google.dev/gemini-api/docs/thought-signatures, "injecting custom function calls")."""

_TEXTS = (STAND_IN, "context_engineering_is_the_way_to_go")
_ALL = frozenset(_TEXTS) | {base64.b64encode(text.encode()).decode().rstrip("=") for text in _TEXTS}
"""Clients that hold signatures as bytes send them in base64. Neither text has a character that differs between its
alphabets."""


def own_signature(signature: str) -> str:
    """A signature as a client sent it; ``""`` for what only stands in for one."""
    return "" if signature.rstrip("=") in _ALL else signature


def google_signature(call: Fields) -> str:
    """The signature of an OpenAI client's call, which is where Google's compatible API has it."""
    extra = call.object("extra_content")
    if extra is None:
        return ""
    signature = ""
    if (google := extra.object("google")) is not None:
        signature = google.text("thought_signature")
        google.finish()
    extra.finish()
    return own_signature(signature)
