"""What the tests of fitting share: a vendor of each dialect, asked in full, and one conversation."""

from __future__ import annotations

import json
from typing import Any

from llmedge.config.capabilities import Capabilities
from llmedge.config.limits import LIMITS, limits_of, of_model
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext

VENDORS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock")
MODELS = {**dict.fromkeys(VENDORS, "m"), "gemini": "gemini-x", "bedrock": "us.anthropic.claude-x"}


def dialect_of(vendor: str) -> ChatDialect:
    dialect = DIALECTS[vendor]
    assert isinstance(dialect, ChatDialect)
    return dialect


def context(
    vendor: str, mode: str = "hints", model: str = "m", capabilities: Capabilities | None = None, **limits: Any
) -> RenderContext:
    """A target of ``vendor``'s dialect, with ``limits`` that differ."""
    known = limits_of(limits)[vendor] if limits else LIMITS[vendor]
    return RenderContext({}, mode, "it", of_model(known, model), capabilities or Capabilities())


def body(vendor: str, request: ir.Request, target: RenderContext | None = None, *quirks: str) -> dict[str, Any]:
    """What the vendor is sent."""
    target = target or context(vendor)
    raw = dialect_of(vendor).render(request, MODELS[vendor], target, stream=False, quirks=frozenset(quirks))
    said: dict[str, Any] = json.loads(raw)
    return said


def user(*parts: ir.Part | str, **settings: Any) -> ir.Request:
    """One question."""
    said = tuple(ir.Text(part) if isinstance(part, str) else part for part in parts or ("hi",))
    return ir.Request((ir.Message("user", said, at="messages[0]"),), **settings)


def say(role: ir.Role, *parts: ir.Part | str, at: str = "") -> ir.Message:
    return ir.Message(role, tuple(ir.Text(part) if isinstance(part, str) else part for part in parts), at=at)


def call(name: str, tool: str = "f", arguments: str = "{}") -> ir.ToolCall:
    return ir.ToolCall(name, tool, arguments)


def result(name: str, *content: str | ir.Text | ir.Image | ir.File) -> ir.ToolResult:
    return ir.ToolResult(name, tuple(ir.Text(each) if isinstance(each, str) else each for each in content))
