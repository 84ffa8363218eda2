"""Responses requests → the IR (platform.openai.com/docs/api-reference/responses/create).

Read as saying nothing: ``stream_options``, of ``include`` the encrypted reasoning (always given) and of
``reasoning.summary`` how detailed it is. ``store`` is true where nothing is said, so only a ``true`` that is written
asks for it.
"""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.openai_chat.request import parse_output
from llmedge.dialects.openai_chat.tools import parse_choice
from llmedge.dialects.openai_responses.items import parse_input
from llmedge.dialects.openai_responses.tools import name_of, parse_tools
from llmedge.dialects.scalars import parse_scalars
from llmedge.model import RawObject

SCALARS = {
    "max_tokens": "max_output_tokens",
    "parallel_tools": "parallel_tool_calls",
    "cache_key": "prompt_cache_key",
    **{name: name for name in ("temperature", "top_p", "top_logprobs", "user", "service_tier")},
}
FIELD_NAMES = {
    **SCALARS,
    "output": "text.format",
    **{f"output.{name}": f"text.format.{name}" for name in ("name", "description", "strict")},
    "reasoning.show": "reasoning.summary",
    "verbosity": "text.verbosity",
    "logprobs": "include",
}

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"


def parse(fields: RawObject) -> ir.Request:
    """:raises ValidationError: a field is mistyped."""
    foreign = Foreign("openai_responses")
    top = Fields(fields, "", foreign)
    top.ignore("model", "stream", "stream_options")
    messages, more_tools = parse_input(top, foreign)
    if instructions := top.text("instructions"):
        messages.insert(0, ir.Message("system", (ir.Text(instructions),), at="instructions"))
    include = top.texts("include")
    if not set(include) <= {LOGPROBS, ENCRYPTED}:
        top.unread("include")
    logprobs = LOGPROBS in include
    settings = parse_scalars(top, SCALARS)
    if not logprobs:
        settings.pop("top_logprobs", None)  # there is nothing to see of it
    output, verbosity = _text(top.object("text"))
    metadata = top.object("metadata")
    if not settings.get("user"):
        settings["user"] = top.text("safety_identifier")
    tools, own = parse_tools(top.objects("tools"))
    known = {tool.name for tool in tools}
    tools += [tool for tool in more_tools if tool.name not in known]
    request = ir.Request(
        messages=tuple(messages),
        tools=tuple(tools),
        tool_choice=parse_choice(top, tools, own, foreign, nested=False, name_of=name_of),
        output=output,
        reasoning=_reasoning(top.object("reasoning")),
        logprobs=logprobs or None,
        metadata=tuple((name, metadata.text(name)) for name in metadata.names()) if metadata is not None else (),
        store=top.boolean("store") or None,
        verbosity=verbosity,
        **settings,
    )
    top.finish()
    return foreign.placed(request)


def _text(fields: Fields | None) -> tuple[ir.Output | None, str]:
    """The answer's form and verbosity."""
    if fields is None:
        return None, ""
    verbosity = fields.text("verbosity")
    verbosity = "" if verbosity == "medium" else verbosity  # as it is without
    output = parse_output(fields.given("format"), nested=False)
    fields.finish()
    return output, verbosity


def _reasoning(fields: Fields | None) -> ir.Reasoning | None:
    if fields is None:
        return None
    effort = fields.text("effort")
    summary = fields.text("summary") or fields.text("generate_summary")  # the older name
    fields.ignore("generate_summary")
    fields.finish()
    if not effort and not summary:
        return None
    return ir.Reasoning(effort=effort, show=True if summary else None)
