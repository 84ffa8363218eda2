"""Tools of a vendor's own, which it runs itself: nobody else can, but what they found is for everybody to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.foreign import Foreign

_READABLE = (
    *("title", "url", "uri", "source", "query", "queries", "pattern", "command", "commands", "code", "text", "data"),
    *("stdout", "stderr", "logs", "output", "outputs", "error", "revised_prompt", "content", "results", "sources"),
    *("arguments", "args", "input", "action", "response", "result"),
)
"""Names of what can be read, in the order in which it is. All else is opaque, or bookkeeping."""

_PICTURES = frozenset({"image_generation_call"})
"""Their ``result`` is no text."""


def leave_out(own: Iterable[str], tools: Iterable[ir.Tool], demanded: bool, foreign: Foreign) -> None:
    """Note the tools that only the client's own vendor has.

    :param own: their paths and kinds.
    :param tools: the others, which do without them.
    :param demanded: one of them has to be called.
    """
    if demanded or not any(True for _ in tools):
        foreign += own
    else:
        foreign.hints += own


def told(kind: str, item: Any) -> str:
    """A call of such a tool or its result, as a text to be read; ``""`` if there is nothing to read in it.

    :param item: JSON of it, decoded.
    """
    if not isinstance(item, dict):
        return ""
    if kind in _PICTURES:
        item = {name: value for name, value in item.items() if name != "result"}
    lines = "\n".join(_lines(item))
    return f"<{kind}>\n{lines}\n</{kind}>" if lines else ""


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value.strip("\n")
    elif isinstance(value, list):
        for each in value:
            yield from _lines(each)
    elif isinstance(value, dict) and value.get("type") not in ("base64", "image"):
        for name in _READABLE:
            if name in value:
                yield from _lines(value[name])
