"""Where models differ from the others of their dialect, by name: what renderers can act on, as in
:data:`~llmedge.config.vendor_entry.QUIRKS`, which is about vendors."""

from __future__ import annotations

import re
from functools import lru_cache

from llmedge.config.capabilities import plain

# platform.claude.com/docs/en/build-with-claude/adaptive-thinking, …/about-claude/models/whats-new-claude-4-7 and -4-8;
# docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html. A date is not a version.
_NEXT = r"claude-[a-z]+-[5-9](?!\d)"
_QUIRKS = (
    (re.compile(r"claude-(?:2|3|[a-z]+-4(?![.-][6-9](?!\d)))"), {"thinking_budget"}),
    (re.compile(rf"claude-opus-4[.-][7-9](?!\d)|{_NEXT}"), {"adaptive_thinking", "no_sampling"}),
    (re.compile(rf"claude-opus-4[.-][89](?!\d)|{_NEXT}"), {"system_messages"}),
    # platform.claude.com/docs/en/about-claude/models/migration-guide
    (re.compile(rf"claude-[a-z]+-4[.-][1-9](?!\d)|{_NEXT}"), {"one_sampling"}),
    # platform.openai.com/docs/guides/reasoning, …/docs/guides/latest-model
    (re.compile(r"(?:o[1-9]|gpt-[5-9])(?!.*chat)"), {"no_sampling", "no_stop"}),
    # ai.google.dev/gemini-api/docs/function-calling#multimodal-function-responses
    (re.compile(r"gemini-[12]\b"), {"text_results"}),
)


@lru_cache(1024)
def model_quirks(model: str) -> frozenset[str]:
    """What is particular to ``model``, at whatever vendor:

    - ``thinking_budget``: it thinks by budgets only (Claude before 4.6);
    - ``adaptive_thinking``: it refuses budgets; ``no_sampling``: and ``temperature``, ``top_p``, ``top_k``
      (Claude Opus 4.7 and later);
    - ``system_messages``: it takes messages of role ``system`` anywhere (Claude Opus 4.8 and later);
    - ``one_sampling``: it takes ``temperature`` or ``top_p``, not both (Claude 4.1 and later);
    - ``no_stop``: it refuses stop sequences (OpenAI's reasoning models, which refuse sampling, too);
    - ``text_results``: what tools give back is text (Gemini before 3).
    """
    name = plain(model)
    return frozenset().union(*(quirks for pattern, quirks in _QUIRKS if pattern.match(name)))
