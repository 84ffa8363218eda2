"""Which models keep the beginnings of prompts where these are marked, and from which length on: data, by dialect.

Sources, as of November 2026: platform.claude.com/docs/en/build-with-claude/prompt-caching ("Cache limitations", which
hold on Vertex and Azure as well), docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html ("Supported
models"), docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/prompt-caching. Vendors that keep
beginnings unasked (OpenAI, Gemini, DeepSeek and others) want no marks.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from llmedge.config.capabilities import plain

BYTES_A_TOKEN = 4
"""Of a prompt's text, at most: a length is under-estimated, and nothing is marked that is too short."""
SECONDS = {"5m": 300.0, "1h": 3600.0}
"""How long what is marked so is kept, counted from its last use."""


@attrs.frozen
class PromptCache:
    """What a model takes.

    :ivar least: tokens of a beginning that is kept, at least.
    :ivar hour: it is kept for an hour where the mark says so; else for five minutes, and no mark may say otherwise.
    :ivar tools: there may be a mark behind the tools. ``media``: and behind pictures, documents and tools' results.
    """

    least: int
    hour: bool = True
    tools: bool = True
    media: bool = True

    def ttl(self, wished: str) -> str:
        """The ``ttl`` of a mark."""
        return wished if self.hour else "5m"


_Table = tuple[tuple[re.Pattern[str], PromptCache | None], ...]

_ANTHROPIC: _Table = (
    (re.compile(r"claude-(?:v?2|instant)"), None),
    (re.compile(r"claude-sonnet-5(?![.-]?\d{1,2}(?!\d))"), PromptCache(1024)),
    (re.compile(r"claude-[a-z]+-[5-9](?!\d)"), PromptCache(512)),
    (re.compile(r"claude-(?:opus-4[.-]7(?!\d)|mythos-preview|3[.-]5-haiku|3-haiku)"), PromptCache(2048)),
    (re.compile(r"claude-(?:opus-4(?![.-][56](?!\d))|sonnet-4|3)"), PromptCache(1024)),
    (re.compile(r"claude"), PromptCache(4096)),  # Opus 4.5 and 4.6, Haiku 4.5, and names that say too little
)
_BEDROCK: _Table = (
    (re.compile(r"claude-(?:v?2|instant|3-(?!\d)|3-5-sonnet-20240620)"), None),
    (re.compile(r"claude-3[.-]5-haiku"), PromptCache(2048, hour=False)),
    (re.compile(r"claude-(?:3|(?:opus|sonnet)-4(?:-1)?(?![.-]\d{1,2}(?!\d)))"), PromptCache(1024, hour=False)),
    (re.compile(r"claude-opus-4[.-]7(?!\d)"), PromptCache(4096)),
    # github.com/LibreChat-AI/agents/pull/253, github.com/earendil-works/pi/issues/2053: where Nova takes marks
    (re.compile(r"nova-(?:micro|lite|pro|premier|2-lite)"), PromptCache(1024, hour=False, tools=False, media=False)),
    *_ANTHROPIC,
)
_TABLES = {"anthropic": _ANTHROPIC, "bedrock": _BEDROCK}


@lru_cache(1024)
def prompt_cache_of(model: str, dialect: str) -> PromptCache | None:
    """What ``model`` takes of marks from whoever is asked in ``dialect``; ``None``: it takes none, or nobody knows."""
    name = plain(model)
    return next((known for pattern, known in _TABLES.get(dialect, ()) if pattern.match(name)), None)
