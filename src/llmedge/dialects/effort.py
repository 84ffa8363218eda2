"""How much to think: named efforts and budgets of tokens, each in terms of the other.

Google publishes the scale for its OpenAI-compatible API (ai.google.dev/gemini-api/docs/openai): low is 1,024 tokens,
medium 8,192, high 24,576.
"""

from __future__ import annotations

from llmedge.dialects import ir

BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}


def effort_of(reasoning: ir.Reasoning) -> str:
    """The effort for any way of saying how much to think; ``none`` for not at all, ``""`` where nothing is said."""
    enabled, effort, budget = reasoning.enabled, reasoning.effort, reasoning.budget  # all three say the same
    if effort:
        return effort
    if enabled is False or budget == 0:
        return "none"
    if budget is None or budget < 0:
        return "medium" if enabled else ""
    return "low" if budget <= 1024 else "medium" if budget <= 8192 else "high"


def budget_of(effort: str) -> int | None:
    """The tokens of an effort; 0 for ``none``, ``None`` for one that is not on the scale."""
    return 0 if effort == "none" else BUDGETS.get(effort)
