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
    # github.com/vercel/ai/issues/8943, github.com/google-gemini/cookbook/issues/1290
    (re.compile(r"gemini-(?!1|2[.]0)"), {"no_penalties"}),
    # docs.x.ai/docs/guides/reasoning; those that do not think, too: github.com/lobehub/lobehub/issues/13332
    (re.compile(r"grok-(?:3-mini|[4-9]|code)"), {"no_penalties", "no_stop"}),
    # docs.x.ai/docs/guides/reasoning, docs.mistral.ai/capabilities/reasoning/native: they think as much as they like
    (re.compile(r"grok-4(?![.][3-9])|grok-code|magistral-"), {"no_effort"}),
)

_EFFORTS = (
    # developers.openai.com/api/docs/guides/reasoning and the models' own pages
    (re.compile(r"o[1-9]|gpt-oss"), "low medium high"),
    (re.compile(r"gpt-5-pro"), "high"),
    (re.compile(r"gpt-5-codex"), "low medium high"),
    (re.compile(r"gpt-5(?![.\d])"), "minimal low medium high"),
    (re.compile(r"gpt-5[.]1(?!\d)(?!-codex-max)"), "none low medium high"),
    (re.compile(r"gpt-5[.]|gpt-[6-9]"), "none low medium high xhigh"),
    # docs.x.ai/docs/guides/reasoning
    (re.compile(r"grok-3-mini"), "low high"),
    # ai.google.dev/gemini-api/docs/thinking#thinking-levels
    (re.compile(r"gemini-3-pro"), "low high"),
    (re.compile(r"gemini-3[.]\d+-pro"), "low medium high"),
    (re.compile(r"gemini-3.*flash"), "minimal low medium high"),
)
_BUDGETS = (
    # ai.google.dev/gemini-api/docs/thinking#set-budget: the least, the most, and whether it always thinks
    (re.compile(r"gemini-2[.]5-pro"), (128, 32768, True)),
    (re.compile(r"gemini-2[.]5-flash-lite"), (512, 24576, False)),
    (re.compile(r"gemini-2[.]5-flash"), (1, 24576, False)),
)


@lru_cache(1024)
def model_quirks(model: str) -> frozenset[str]:
    """What is particular to ``model``, at whatever vendor:

    - ``thinking_budget``: it thinks by budgets only (Claude before 4.6);
    - ``adaptive_thinking``: it refuses budgets; ``no_sampling``: and ``temperature``, ``top_p``, ``top_k``
      (Claude Opus 4.7 and later);
    - ``system_messages``: it takes messages of role ``system`` anywhere (Claude Opus 4.8 and later);
    - ``one_sampling``: it takes ``temperature`` or ``top_p``, not both (Claude 4.1 and later);
    - ``no_stop``: it refuses stop sequences (OpenAI's reasoning models, which refuse sampling, too; Grok's);
    - ``no_penalties``: it refuses penalties (Gemini from 2.5 on, Grok's reasoning models);
    - ``text_results``: what tools give back is text (Gemini before 3);
    - ``no_effort``: it thinks, and refuses to be told how much (Grok 4, Magistral).
    """
    name = plain(model)
    return frozenset().union(*(quirks for pattern, quirks in _QUIRKS if pattern.match(name)))


@lru_cache(1024)
def efforts_of(model: str) -> tuple[str, ...]:
    """The efforts of thought that ``model`` takes, from none up; empty where nobody knows."""
    name = plain(model)
    return next((tuple(efforts.split()) for pattern, efforts in _EFFORTS if pattern.match(name)), ())


@lru_cache(1024)
def budgets_of(model: str) -> tuple[int, int, bool] | None:
    """The tokens of thought that ``model`` takes, the least and the most, and whether it thinks always."""
    name = plain(model)
    return next((budgets for pattern, budgets in _BUDGETS if pattern.match(name)), None)
