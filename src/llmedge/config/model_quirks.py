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
)


@lru_cache(1024)
def model_quirks(model: str) -> frozenset[str]:
    """What is particular to ``model``, at whatever vendor:

    - ``thinking_budget``: it thinks by budgets only (Claude before 4.6);
    - ``adaptive_thinking``: it refuses budgets; ``no_sampling``: and ``temperature``, ``top_p``, ``top_k``
      (Claude Opus 4.7 and later);
    - ``system_messages``: it takes messages of role ``system`` anywhere (Claude Opus 4.8 and later).
    """
    name = plain(model)
    return frozenset().union(*(quirks for pattern, quirks in _QUIRKS if pattern.match(name)))
