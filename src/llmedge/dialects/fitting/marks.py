"""As many marks of prompt caches as a vendor takes: the last ones, since each stands for all that is before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.fitting.media import with_results
from llmedge.dialects.rendering import RenderContext


def fit_marks(request: ir.Request, context: RenderContext) -> ir.Request:
    """:raises Unsupported: there are too many, and nothing may be left out."""
    assert context.limits is not None
    most = context.limits.cache_marks
    left = sum(1 for _ in marks_in(request)) - most if most else 0
    if left <= 0:
        return request
    context.approximated("cache_control", f"at most {most} marks")

    def plain(struct: Any) -> Any:
        nonlocal left
        if isinstance(struct, ir.ToolResult):
            struct = ir.replace(struct, content=tuple(map(plain, struct.content)))
        mark: str = getattr(struct, "cache", "")
        if mark and left:
            left -= 1
            struct = ir.replace(struct, cache="")
        return struct

    tools = tuple(map(plain, request.tools))
    messages = tuple(ir.replace(each, parts=tuple(map(plain, each.parts))) for each in request.messages)
    return ir.replace(request, tools=tools, messages=messages)


def marks_in(request: ir.Request) -> Iterator[str]:
    """In the order of the prompt: the tools', then what is said."""
    for struct in (*request.tools, *(part for each in request.messages for part in with_results(each))):
        if mark := getattr(struct, "cache", ""):
            yield mark
