"""Whether an answer may call a tool, in the words of every dialect: it decides who can be asked, before anybody is."""

from __future__ import annotations

from typing import Any

from llmedge.dialects import lenient
from llmedge.model import RawObject

_TOOLS = ("tools", "functions")
_CHOICES = ("tool_choice", "function_call", "toolConfig", "tool_config")


def may_call_tools(fields: RawObject) -> bool:
    """Whether a request gives tools to choose from. An empty list says nothing, and neither do tools of which none may
    be called (``none``; Google's mode ``NONE``).

    :param fields: of a chat, as they came; what cannot be read counts as something.
    """
    return any(_gives(_read(fields, name)) for name in _TOOLS) and not any(
        _forbids(_read(fields, name)) for name in _CHOICES
    )


def _read(fields: RawObject, name: str) -> Any:
    return lenient.decode(fields[name]) if name in fields else None


def _gives(tools: Any) -> bool:
    """Google groups functions: a group of none is no tool; and one group may stand alone where a list is meant."""
    groups = tools if isinstance(tools, list) else [tools]
    return any(group is not None and not _is_empty(group) for group in groups)


def _is_empty(group: Any) -> bool:
    return isinstance(group, dict) and all(value in ([], None) for value in group.values())


def _forbids(choice: Any) -> bool:
    """``"none"``, Anthropic's ``{"type": "none"}``, and Google's mode within a config."""
    if isinstance(choice, dict):
        config = choice.get("functionCallingConfig") or choice.get("function_calling_config")
        choice = config.get("mode") if isinstance(config, dict) else choice.get("type")
    return isinstance(choice, str) and choice.lower() == "none"
