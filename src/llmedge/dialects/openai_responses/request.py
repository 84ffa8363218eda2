"""Responses requests → the IR (platform.openai.com/docs/api-reference/responses/create).

Read as saying nothing, because another model's answer would not differ: ``prompt_cache_*`` and ``stream_options``, of
``include`` the encrypted reasoning (always given) and of ``reasoning.summary`` how detailed it is. ``store`` is true
where nothing is said, so only a ``true`` that is written asks for it.
"""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields
from llmedge.dialects.openai_chat.request import parse_output, parse_tool_choice
from llmedge.dialects.openai_responses.items import parse_input
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

SCALARS = {
    "max_tokens": "max_output_tokens",
    "parallel_tools": "parallel_tool_calls",
    **{name: name for name in ("temperature", "top_p", "top_logprobs", "user", "service_tier")},
}
FIELD_NAMES = {
    **SCALARS,
    "output": "text.format",
    "output.description": "text.format.description",
    "reasoning.show": "reasoning.summary",
    "verbosity": "text.verbosity",
    "logprobs": "include",
}

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    unread: list[str] = []
    top = Fields(fields, "", unread)
    top.ignore("model", "stream", "stream_options")
    top.ignore("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
    messages = parse_input(top, unread)
    if instructions := top.text("instructions"):
        messages.insert(0, ir.Message("system", (ir.Text(instructions),), at="instructions"))
    include = top.texts("include")
    unread += [f"include[{index}]" for index, each in enumerate(include) if each not in (LOGPROBS, ENCRYPTED)]
    logprobs = LOGPROBS in include
    settings = parse_scalars(top, SCALARS)
    if not logprobs:
        settings.pop("top_logprobs", None)  # there is nothing to see of it
    output, verbosity = _text(top.object("text"))
    metadata = top.object("metadata")
    if top.boolean("background"):
        unread.append("background")
    if top.text("truncation") == "auto":
        unread.append("truncation")
    settings.setdefault("user", top.text("safety_identifier"))
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tool for each in top.objects("tools") if (tool := _tool(each, unread)) is not None),
        tool_choice=parse_tool_choice(top, unread, nested=False),
        output=output,
        reasoning=_reasoning(top.object("reasoning"), unread),
        logprobs=logprobs or None,
        metadata=tuple((name, metadata.text(name)) for name in metadata.names()) if metadata is not None else (),
        store=top.boolean("store") or None,
        verbosity=verbosity,
        **settings,
    )
    top.finish()
    return msgspec.structs.replace(request, extra=tuple(unread)) if unread else request


def _tool(fields: Fields, unread: list[str]) -> ir.Tool | None:
    if fields.text("type", None) != "function":
        unread.append(fields.path)  # the vendor's built-in tools, MCP servers, custom tools
        return None
    for name in ("async", "defer_loading"):
        if fields.value(name):
            unread.append(fields.at(name))
    # Where ``strict`` is left out the API is strict if the schema lets it, else not: nobody insists on it.
    tool = ir.Tool(
        fields.text("name", None),
        fields.text("description"),
        fields.raw("parameters"),
        fields.boolean("strict") or None,
    )
    fields.finish()
    return tool


def _text(fields: Fields | None) -> tuple[ir.Output | None, str]:
    """The answer's form and verbosity."""
    if fields is None:
        return None, ""
    verbosity = fields.text("verbosity")
    output = parse_output(fields.object("format"), nested=False)
    fields.finish()
    return output, verbosity


def _reasoning(fields: Fields | None, unread: list[str]) -> ir.Reasoning | None:
    if fields is None:
        return None
    effort = fields.text("effort")
    summary = fields.text("summary") or fields.text("generate_summary")  # the older name
    fields.ignore("generate_summary")
    for name, usual in (("context", "auto"), ("mode", "standard")):
        if fields.text(name, usual) != usual:
            unread.append(fields.at(name))
    fields.finish()
    if not effort and not summary:
        return None
    return ir.Reasoning(effort=effort, show=True if summary else None)
