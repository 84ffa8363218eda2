"""What vendors take of values, as far as the gateway keeps it: data, by dialect; vendors say where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Limits:
    """One vendor's, in one dialect. What is not known to be limited goes as it comes.

    :ivar tool_name: pattern of a tool's name.
    :ivar user: characters of an end user's id; 0: any number.
    :ivar stops: how many stop sequences; ``None``: any number.
    :ivar temperature: the highest.
    :ivar schemes: of a URL that a medium is at.
    """

    tool_name: str = r"[A-Za-z0-9_-]{1,64}"
    user: int = 0
    stops: int | None = None
    temperature: float = 2.0
    schemes: tuple[str, ...] = ("https", "http")


LIMITS: Mapping[str, Limits] = {
    # developers.openai.com/api/reference: chat/create, responses/create
    "openai_chat": Limits(user=64, stops=4),
    "openai_responses": Limits(user=64, stops=0),
    # platform.claude.com/docs/en/api/messages/create
    "anthropic": Limits(r"[A-Za-z0-9_-]{1,128}", user=256, temperature=1.0),
    # ai.google.dev/api/caching#FunctionDeclaration, …/generate-content#GenerationConfig
    "gemini": Limits(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}", stops=5, schemes=("https", "http", "gs")),
    # docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html, …_InferenceConfiguration.html
    "bedrock": Limits(temperature=1.0, schemes=("s3",)),
}


def limits_of(differences: Mapping[str, Any]) -> Mapping[str, Limits]:
    """By dialect, with a vendor's ``differences``."""
    if not differences:
        return LIMITS
    return {dialect: attrs.evolve(limits, **differences) for dialect, limits in LIMITS.items()}
