"""What vendors take of values, as far as the gateway keeps it: data by dialect, and where vendors and models differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs

from llmedge.config.model_quirks import budgets_of, efforts_of

Range = tuple[float, float]
"""The least and the most."""

ANY: Range = (-math.inf, math.inf)


@attrs.frozen
class Limits:
    """One vendor's, in one dialect. What is not known to be limited goes as it comes.

    :ivar tool_name: pattern of a tool's name. ``tools``: how many there may be; 0: any number.
    :ivar user: characters of an end user's id, the most, and ``user_least``, the least; 0: any number.
    :ivar message_name: characters of the name of who says a message.
    :ivar stops: how many stop sequences; ``None``: any number.
    :ivar n: how many answers.
    :ivar max_tokens: the least a limit of tokens may be.
    :ivar top_logprobs: how many alternatives.
    :ivar metadata: how many pairs, the pattern of a key, the pattern of a value; ``None``: any.
    :ivar efforts: of thought, from none up; empty where any goes, or where nobody knows.
    :ivar budget: tokens of thought; ``None``: any number.
    :ivar always_thinks: it cannot be told not to.
    :ivar cache_marks: of prompt caches, how many; 0: any number.
    :ivar schemes: of a URL that a medium is at.
    :ivar images: media types of pictures that are sent along; empty: any.
    :ivar foreign_files: how ids of files begin that are another vendor's.
    """

    tool_name: str = r"[A-Za-z0-9_-]{1,64}"
    tools: int = 0
    user: int = 0
    user_least: int = 0
    message_name: int = 64
    stops: int | None = None
    n: int = 0
    max_tokens: int = 1
    temperature: Range = (0, 2)
    top_p: Range = (0, 1)
    top_k: Range = (1, math.inf)
    presence_penalty: Range = (-2, 2)
    frequency_penalty: Range = (-2, 2)
    seed: tuple[int, int] = (-(2**63), 2**63 - 1)
    top_logprobs: int = 20
    metadata: tuple[int, str, str] | None = None
    efforts: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    always_thinks: bool = False
    cache_marks: int = 0
    schemes: tuple[str, ...] = ("https", "http")
    images: tuple[str, ...] = ()
    foreign_files: tuple[str, ...] = ()


_WORDS = r"[a-zA-Z0-9\s:_@$#=/+,.-]"
_GOOGLES = ("https://generativelanguage.googleapis.com/", "gs://")
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")

LIMITS: Mapping[str, Limits] = {
    # developers.openai.com/api/reference: chat/create, responses/create
    "openai_chat": Limits(user=64, stops=4, foreign_files=(*_GOOGLES, "file_")),
    "openai_responses": Limits(user=64, max_tokens=16, foreign_files=(*_GOOGLES, "file_")),
    # platform.claude.com/docs/en/api/messages/create; pictures: …/build-with-claude/vision. top_p of 0 says what a
    # very small one says, and is not taken by all models.
    "anthropic": Limits(
        r"[A-Za-z0-9_-]{1,128}",
        user=256,
        temperature=(0, 1),
        top_p=(0.001, 1),
        cache_marks=4,
        images=_PICTURES,
        foreign_files=(*_GOOGLES, "file-"),
    ),
    # ai.google.dev/api/caching#FunctionDeclaration, …/generate-content#GenerationConfig (an int32 as the seed),
    # ai.google.dev/gemini-api/docs/image-understanding, cloud.google.com/resource-manager/docs/labels-overview
    "gemini": Limits(
        r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}",
        stops=5,
        n=8,
        seed=(-(2**31), 2**31 - 1),
        presence_penalty=(-2, 1.99),
        frequency_penalty=(-2, 1.99),
        metadata=(64, r"[a-z][a-z0-9_-]{0,62}", r"[a-z0-9_-]{0,63}"),
        schemes=("https", "http", "gs"),
        images=("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
    ),
    # docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html, …_InferenceConfiguration.html,
    # …_Converse.html (requestMetadata), …_ImageBlock.html
    "bedrock": Limits(
        stops=2500,
        temperature=(0, 1),
        top_p=(0.001, 1),
        top_k=(1, 500),
        metadata=(16, rf"{_WORDS}{{1,256}}", rf"{_WORDS}{{0,256}}"),
        cache_marks=4,
        schemes=("s3",),
        images=_PICTURES,
    ),
}


def limits_of(differences: Mapping[str, Any]) -> Mapping[str, Limits]:
    """By dialect, with a vendor's ``differences`` in OpenAI's: in others, who speaks them keeps to them."""
    return {
        dialect: attrs.evolve(limits, **differences) if dialect.startswith("openai_") else limits
        for dialect, limits in LIMITS.items()
    }


@lru_cache(1024)
def of_model(limits: Limits, model: str) -> Limits:
    """A vendor's limits, with what is known of ``model``."""
    efforts, budgets = efforts_of(model), budgets_of(model)
    if efforts:
        limits = attrs.evolve(limits, efforts=efforts)
    if budgets is not None:
        limits = attrs.evolve(limits, budget=budgets[:2], always_thinks=budgets[2])
    return limits
