"""How much to think, as a model takes it; and where Claude cannot think at all."""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.effort import effort_of
from llmedge.dialects.rendering import RenderContext

_SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def fit_thinking(reasoning: ir.Reasoning, context: RenderContext, quirks: frozenset[str]) -> ir.Reasoning | None:
    """Efforts and budgets the model knows, the nearest to what is asked for. Quirks it knows: ``no_effort``.

    :raises Unsupported: a hint cannot be said, and may not be left out.
    """
    limits = context.limits
    assert limits is not None
    effort, budget = effort_of(reasoning), reasoning.budget
    if context.capabilities.thinking is False:
        if _is_wanted(reasoning):
            context.unsupported("reasoning", "this model does not think")
        return None
    if "no_effort" in quirks:
        if effort:
            context.unsupported("reasoning", "this model thinks as much as it likes")
        return None if reasoning.show is None else ir.Reasoning(show=reasoning.show)
    if effort == "none" and (limits.always_thinks or (limits.efforts and "none" not in limits.efforts)):
        context.approximated("reasoning", "this model always thinks")
        least = ir.Reasoning(budget=limits.budget[0]) if limits.budget else ir.Reasoning(effort=limits.efforts[0])
        return ir.replace(least, show=reasoning.show)
    if effort in _SCALE and limits.efforts and effort not in limits.efforts:
        return ir.Reasoning(effort=_nearest(effort, limits.efforts), show=reasoning.show)
    if limits.budget is not None and budget is None and effort in ("xhigh", "max"):
        return ir.replace(reasoning, effort="", budget=limits.budget[1])
    if limits.budget is not None and budget is not None and budget > 0:
        return ir.replace(reasoning, budget=min(max(budget, limits.budget[0]), limits.budget[1]))
    return reasoning


def _is_wanted(reasoning: ir.Reasoning) -> bool:
    """Whether it asks for something, and not for no thoughts."""
    off = reasoning.enabled is False or reasoning.budget == 0 or reasoning.effort == "none"
    return not off and reasoning != ir.Reasoning(show=False)


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The nearest of the efforts that a model has, the higher of two."""
    place = _SCALE.index(effort)
    thinking = (each for each in known if each != "none")
    return min(thinking, key=lambda each: (abs(_SCALE.index(each) - place), -_SCALE.index(each)))


# Claude, at whatever vendor (platform.claude.com/docs/en/build-with-claude/extended-thinking)

MIN_BUDGET = 1024
"""The least it takes for ``budget_tokens``, which has to stay below ``max_tokens``."""

_BESIDE = {"temperature": 1.0, "top_p": 0.95}
"""The least it takes while it thinks; ``top_k`` it takes none."""


def cannot_think(request: ir.Request, kind: str) -> str:
    """Why there can be no thought; ``""``: there can.

    :param kind: of thinking: enabled (by a budget), adaptive, disabled.
    """
    if kind == "disabled":
        return ""
    if request.tools and request.tool_choice is not None and request.tool_choice.mode in ("required", "named"):
        return "not where a tool has to be called"
    if kind == "enabled":
        turn = next((each for each in reversed(request.messages) if each.role == "assistant"), None)
        if turn is not None and not any(isinstance(part, ir.Thinking) and is_signed(part) for part in turn.parts):
            if any(isinstance(part, ir.ToolCall) for part in turn.parts):
                return "a tool's result follows a call without its signed thought"
            if turn is request.messages[-1]:
                return "the answer is begun without a thought"
    return ""


def is_signed(thought: ir.Thinking) -> bool:
    """Whether Claude takes it back: its own are signed, and have no ids, as OpenAI's have."""
    return bool(thought.signature) and not thought.id


def sampled_beside(name: str, value: float) -> bool:
    """Whether it takes a setting while it thinks."""
    return name in _BESIDE and value >= _BESIDE[name]


def room_for(budget: int, max_tokens: int | None, most: int | None, answer: int) -> int:
    """The tokens of thought that a budget comes to; 0 where there is no room for the least.

    :param most: what the model can write at all. :param answer: tokens to leave for the answer, where the client sets
        no ``max_tokens``.
    """
    room = max(budget, MIN_BUDGET)
    if max_tokens is not None:
        room = min(room, max_tokens - 1)
    elif most is not None:
        room = min(room, most - answer)
    return room if room >= MIN_BUDGET else 0
