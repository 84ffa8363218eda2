"""Tools and the choice among them → the IR (platform.openai.com/docs/guides/function-calling). Chats and Responses say
the choice alike, but for a level of nesting."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llmedge.dialects import ir, own_tools
from llmedge.dialects.custom_tools import parse_tool as parse_custom
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign


def parse_tools(top: Fields, cache: Callable[[Fields], str]) -> tuple[list[ir.Tool], dict[str, str]]:
    """A chat client's tools, the older ``functions`` too, and those of a vendor's own: their types → their paths.

    :param cache: reads a cache mark.
    """
    tools: list[ir.Tool] = []
    own: dict[str, str] = {}
    for each in top.objects("tools"):
        kind = each.text("type") or "function"
        inner = each.object(kind)
        if kind == "custom" and inner is not None:
            tools.append(parse_custom(inner, nested=True))
        elif kind == "function" and (inner is not None or each.has("name")):
            inner = inner or each
            tools.append(parse_function(inner, cache(each)))
        else:
            own[kind] = f"{each.path} ({kind})"
            continue
        inner.finish()
        each.finish()
    if top.has("web_search_options"):
        own["web_search_options"] = "web_search_options"
        top.ignore("web_search_options")
    for each in top.objects("functions"):
        tools.append(parse_function(each))
        each.finish()
    return tools, own


def parse_function(fields: Fields, cache: str = "") -> ir.Tool:
    """A function."""
    # Where ``strict`` is left out Responses is strict if the schema lets it, else not: nobody insists on it.
    return ir.Tool(
        fields.text("name", None),
        fields.text("description"),
        fields.raw("parameters"),
        fields.boolean("strict") or None,
        cache,
    )


def parse_choice(
    top: Fields,
    tools: list[ir.Tool],
    own: Mapping[str, str],
    foreign: Foreign,
    *,
    nested: bool = True,
    name_of: Callable[[Fields], str] = lambda fields: fields.text("name", None),
) -> ir.ToolChoice | None:
    """The choice; the tools that nobody else has go to ``foreign``.

    :param own: see :func:`parse_tools`.
    :param nested: what a ``type`` has to say stands in an object of that name.
    :param name_of: reads a tool's name.
    """
    choice, demanded = _choice(
        top, {tool.kind: tool.name for tool in tools if tool.kind}, own, foreign, nested, name_of
    )
    own_tools.leave_out(own.values(), tools, demanded, foreign)
    return choice


def _choice(
    top: Fields,
    kinds: Mapping[str, str],
    own: Mapping[str, str],
    foreign: Foreign,
    nested: bool,
    name_of: Callable[[Fields], str],
) -> tuple[ir.ToolChoice | None, bool]:
    """The choice, and whether a tool is demanded that nobody else has.

    :param kinds: of tools that clients run by themselves: type → name.
    """
    if not top.has("tool_choice") or top.is_text("tool_choice"):
        return _mode(top), False
    choice = top.given("tool_choice")
    if choice is None:
        return None, False
    kind = choice.text("type") or "function"
    inner = (choice.object(kind) if nested else choice) or Fields({})
    found: ir.ToolChoice | None = None
    demanded = kind in own
    if kind in ("function", "custom"):
        found = ir.ToolChoice("named", (name_of(inner),))
    elif kind == "allowed_tools":
        mode = inner.text("mode") or "auto"
        names = []
        for each in inner.objects("tools"):
            its_kind = each.text("type") or "function"
            named = (each.object(its_kind) if nested else each) or Fields({})
            if its_kind in ("function", "custom"):
                names.append(name_of(named))
            elif its_kind in kinds:
                names.append(kinds[its_kind])
        demanded = not names and bool(own)
        allowed = "required" if mode == "required" else "auto"
        found = ir.ToolChoice(allowed, tuple(names)) if names else ir.ToolChoice("none")  # type: ignore[arg-type]
    elif kind in kinds:
        found = ir.ToolChoice("named", (kinds[kind],))
    elif not demanded:
        foreign.append(f"tool_choice ({kind})")
    if found is not None:
        inner.finish()
        choice.finish()
    return found, demanded


def _mode(top: Fields) -> ir.ToolChoice | None:
    """A choice that is one word; chats had an older name for it, which also named a function."""
    mode = top.text("tool_choice")
    if not mode and top.has("function_call"):
        if not top.is_text("function_call"):
            function = top.given("function_call")
            return None if function is None else ir.ToolChoice("named", (function.text("name", None),))
        mode = top.text("function_call")
    if mode == "any":  # Mistral's word
        mode = "required"
    if mode not in ("", "auto", "none", "required"):
        top.fail("tool_choice", "must be auto, none, required or an object")
    return ir.ToolChoice(mode) if mode else None  # type: ignore[arg-type]
