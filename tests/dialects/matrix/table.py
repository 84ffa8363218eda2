"""Where cells differ from what their two dialects say by themselves: each difference is named, none is computed."""

from __future__ import annotations

from typing import Any

import attrs

ABSENT = object()
"""In place of a value: there is no such field."""


@attrs.frozen
class Difference:
    """What a vendor is asked differs from how its own clients would ask it.

    :ivar why: a reason a reviewer can disagree with.
    :ivar sets: path in the vendor's request → value; a dot between names.
    """

    client: str
    vendor: str
    cases: tuple[str, ...]
    why: str
    sets: dict[str, Any]


_ANY_SCHEMA = (
    "Anthropic and Gemini hold the model to every schema and do not say strict; OpenAI's strict takes fewer schemas"
)
_ALWAYS = "Anthropic's clients always say max_tokens"
_USUAL = ("plain", "system", "turns", "image", "tool", "parallel", "result", "schema", "stop", "refusal")
_MAX_TOKENS = {
    "openai_chat": "max_completion_tokens",
    "openai_responses": "max_output_tokens",
    "gemini": "generationConfig.maxOutputTokens",
    "bedrock": "inferenceConfig.maxTokens",
}
_NAME = "outputConfig.textFormat.structure.jsonSchema.name"

DIFFERENCES: tuple[Difference, ...] = (
    *(Difference("anthropic", vendor, _USUAL, _ALWAYS, {path: 4096}) for vendor, path in _MAX_TOKENS.items()),
    *(Difference("anthropic", vendor, ("thinking",), _ALWAYS, {path: 12288}) for vendor, path in _MAX_TOKENS.items()),
    *(
        difference
        for client in ("anthropic", "gemini")
        for difference in (
            Difference(client, "openai_chat", ("schema",), _ANY_SCHEMA, {"response_format.json_schema.strict": ABSENT}),
            Difference(client, "openai_responses", ("schema",), _ANY_SCHEMA, {"text.format.strict": ABSENT}),
            Difference(client, "bedrock", ("schema",), "they have no name for a schema", {_NAME: ABSENT}),
        )
    ),
    Difference(
        "anthropic",
        "gemini",
        ("thinking",),
        "a budget stays a budget where the vendor takes one",
        {"generationConfig.thinkingConfig": {"thinkingBudget": 8192}},
    ),
    Difference(
        "anthropic",
        "bedrock",
        ("thinking",),
        "a budget stays a budget where the vendor takes one",
        {
            "additionalModelRequestFields.thinking": {"type": "enabled", "budget_tokens": 8192},
            "outputConfig": ABSENT,
        },
    ),
    Difference("openai_responses", "openai_chat", ("stop",), "Responses has no stop sequences", {"stop": ABSENT}),
    Difference("openai_responses", "anthropic", ("stop",), "the same", {"stop_sequences": ABSENT}),
    Difference("openai_responses", "gemini", ("stop",), "the same", {"generationConfig": ABSENT}),
    Difference(
        "openai_responses",
        "bedrock",
        ("stop",),
        "the same",
        {"inferenceConfig": ABSENT, "additionalModelResponseFieldPaths": ABSENT},
    ),
)

_CALLED = Difference(
    "*",
    "gemini",
    ("result",),
    "Gemini 3 refuses calls without its signature; this is what it takes for those of others",
    {"contents.1.parts.0.thoughtSignature": "skip_thought_signature_validator"},
)
DIFFERENCES += tuple(
    attrs.evolve(_CALLED, client=client) for client in ("openai_chat", "openai_responses", "anthropic")
)

REFUSED_AS = {
    "openai_chat": ("no_thing", "tools"),
    "openai_responses": ("no_thing", "tools"),
    "anthropic": ("invalid_request_error", None),
    "gemini": ("INVALID_ARGUMENT", None),
    "bedrock": ("ValidationException", None),
}
"""Vendor → code and param of the error it answers with before a stream."""


def expected(client: str, vendor: str, case: str, request: dict[str, Any]) -> dict[str, Any]:
    """The vendor's request with the differences of this cell."""
    place: Any
    for each in DIFFERENCES:
        if (each.client, each.vendor) == (client, vendor) and case in each.cases:
            for path, value in each.sets.items():
                *names, last = path.split(".")
                place = request
                for name in names:
                    place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
                if value is ABSENT:
                    del place[last]
                else:
                    place[last] = value
    return request
