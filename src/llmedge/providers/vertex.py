"""Google Vertex AI: where its models are, and how what they are told differs from their own vendors' APIs.

Sources: cloud.google.com/vertex-ai/generative-ai/docs/reference/rest (Google's models),
docs.claude.com/en/api/claude-on-vertex-ai (Anthropic's), and Anthropic's SDK for the multi-region hosts.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

from llmedge.errors import NotFound

ANTHROPIC_VERSION = "vertex-2023-10-16"
"""In the body, where Anthropic's own API has a header ``anthropic-version``."""

ACTIONS = {
    ("gemini", False): "publishers/google/models/{model}:generateContent",
    ("gemini", True): "publishers/google/models/{model}:streamGenerateContent?alt=sse",
    ("anthropic", False): "publishers/anthropic/models/{model}:rawPredict",
    ("anthropic", True): "publishers/anthropic/models/{model}:streamRawPredict",
}
"""Paths below a project's location, by dialect and whether the answer is streamed."""

COUNT_TOKENS = {
    "gemini": "publishers/google/models/{model}:countTokens",
    "anthropic": "publishers/anthropic/models/count-tokens:rawPredict",
}
"""The same for counting tokens; Anthropic's keeps the model in the body."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_VERSION = msgspec.Raw(_encode(ANTHROPIC_VERSION))


def dialect_of(model: str) -> str:
    """The dialect a model speaks: ``claude-*`` Anthropic's, all others Google's."""
    return "anthropic" if model.startswith("claude-") else "gemini"


def base_url(project: str, location: str) -> str:
    """What every path of :data:`ACTIONS` stands behind, ending in a slash.

    :raises ValueError: not a project or a location.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9:.-]{0,62}", project):
        raise ValueError("has a project that is not the id or number of one")
    if not re.fullmatch(r"[a-z0-9-]{1,32}", location):
        raise ValueError("has a location that is not one of Google's, such as global or europe-west1")
    if location == "global":
        host = "aiplatform.googleapis.com"
    elif location in ("us", "eu"):
        host = f"aiplatform.{location}.rep.googleapis.com"
    else:
        host = f"{location}-aiplatform.googleapis.com"
    return f"https://{host}/v1/projects/{project}/locations/{location}/"


def path(model: str, *, stream: bool) -> str:
    """The path of a call behind :func:`base_url`; versions keep their ``@``.

    :raises NotFound: the name is empty.
    """
    if not model:
        raise NotFound("There is no model without a name.", param="model")
    return ACTIONS[dialect_of(model), stream].format(model=quote(model, safe="@"))


def claude_body(body: bytes) -> bytes:
    """A body of Anthropic's API as Vertex wants it: the version in it, the model not; every other value as it was."""
    fields = _decode_fields(body)
    fields.pop("model", None)
    return _encode({"anthropic_version": _VERSION, **fields})
