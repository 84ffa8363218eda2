"""Input items → messages (platform.openai.com/docs/api-reference/responses/create#responses-create-input).

What the assistant said in a row, be it thoughts, texts or calls, is one message of the IR, and so are tool results
in a row. Ids and states of items only matter to a vendor who stored them; a thought's is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmedge.dialects import ir, own_tools
from llmedge.dialects.custom_tools import arguments_of
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.media import AUDIO_FORMATS, file_source, split_data_url
from llmedge.dialects.openai_responses.tools import CALLS, CLIENT_TOOLS, name_of, parse_tools
from llmedge.dialects.signatures import google_signature, own_signature

_MERGED = ("assistant", "tool")


def parse_input(top: Fields, foreign: Foreign) -> tuple[list[ir.Message], list[ir.Tool]]:
    """The messages, and the tools that the input brings.

    :param foreign: collects the items that have no place in the IR.
    :raises ValidationError: a field is mistyped.
    """
    if top.is_text("input"):
        text = top.text("input")
        return [ir.Message("user", (ir.Text(text),) if text else (), at="input")], []
    messages: list[ir.Message] = []
    tools: list[ir.Tool] = []
    for item in top.objects("input"):
        message = _message(item, foreign, tools)
        if message is None:
            continue
        if messages and message.role in _MERGED and messages[-1].role == message.role:
            last = messages.pop()
            message = ir.Message(last.role, last.parts + message.parts, at=last.at)
        messages.append(message)
    return messages, tools


def _message(fields: Fields, foreign: Foreign, tools: list[ir.Tool]) -> ir.Message | None:
    kind = fields.text("type") or ("message" if fields.has("role") or fields.has("content") else "item_reference")
    role: ir.Role = "assistant"
    parts: tuple[ir.Part, ...]
    if kind == "message":
        speaker = fields.text("role") or "user"
        if speaker not in ("user", "assistant", "system", "developer"):
            fields.fail("role", "must be one of user, assistant, system, developer")
        role = speaker  # type: ignore[assignment]
        parts = _content(fields, "content", foreign)
    elif kind in ("function_call", "custom_tool_call", *CALLS):
        parts = (_call(fields, kind),)
    elif kind.endswith("_output") and (kind in _RESULTS or kind.removesuffix("_output") in CALLS):
        role, parts = "tool", (_result(fields, kind, foreign, tools),)
    elif kind == "reasoning":
        parts = (parse_thought(fields),)
    elif kind == "additional_tools":
        tools += parse_tools(fields.objects("tools"))[0]
        parts = ()
        fields.ignore("role")
    else:
        parts = _foreign(fields, kind, foreign)
    if not parts and kind != "message":
        return None
    fields.ignore("id", "status")
    fields.finish()
    return ir.Message(role, parts, at=fields.path)


def recalled(raw: bytes, recall: Callable[[str], bytes | None]) -> bytes:
    """``input`` with the items that its references stand for, as far as ``recall`` knows them by their ids."""
    if b"item_reference" not in raw:
        return raw
    try:
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
        found = [recall(_reference(item)) or item for item in items]
    except msgspec.DecodeError:  # which is told when it is read
        return raw
    return msgspec.json.encode([msgspec.Raw(item) for item in found])


class _Reference(msgspec.Struct):
    type: Any = None
    id: Any = None


def _reference(item: msgspec.Raw) -> str:
    """The id that an item refers to; ``""`` for an item that says something itself."""
    found = msgspec.json.decode(item, type=_Reference)
    return found.id if found.type == "item_reference" and isinstance(found.id, str) else ""


_RESULTS = ("function_call_output", "custom_tool_call_output", "tool_search_output")
_READABLE = (
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"),
    *("program", "program_output"),
)
_SILENT = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "ghost_snapshot")
"""Items that say nothing to a model that has not the tools they are about."""


def _foreign(fields: Fields, kind: str, foreign: Foreign) -> tuple[ir.Text, ...]:
    """An item that only OpenAI has: what can be read of it."""
    if kind in _READABLE:
        if text := own_tools.told(kind, fields.everything()):
            return (ir.Text(text),)
        foreign.hint(f"{fields.path} ({kind})")
    elif kind in _SILENT or (kind == "item_reference" and fields.text("id").startswith("rs_")):  # of a thought
        foreign.hint(f"{fields.path} ({kind})")
    else:  # references to what is stored, what was compacted, and what comes next
        foreign.lost.append(f"{fields.path} ({kind})")
    return ()


def _call(fields: Fields, kind: str) -> ir.ToolCall:
    """A call."""
    if kind == "custom_tool_call":
        arguments = arguments_of(fields.text("input"))
    elif kind == "function_call":
        raw = fields.raw("arguments")
        arguments = raw.decode() if raw[:1] == b"{" else fields.text("arguments") or "{}"
    else:
        raw = fields.raw(CLIENT_TOOLS[CALLS[kind]].field) or fields.raw("actions") or b"{}"
        arguments = (b'{"actions":%b}' % raw if raw[:1] == b"[" else raw).decode()
    name = CALLS.get(kind) or name_of(fields)
    return ir.ToolCall(fields.text("call_id", None), name, arguments, google_signature(fields))


def _result(fields: Fields, kind: str, foreign: Foreign, tools: list[ir.Tool]) -> ir.ToolResult:
    """What came of a call. Of the tools that a search found, their names."""
    named = "id" if kind == "local_shell_call_output" and not fields.has("call_id") else "call_id"
    identifier = fields.text(named, None)
    if kind == "tool_search_output":
        found = parse_tools(fields.objects("tools"))[0]
        tools += found
        said = "Found: " + (", ".join(tool.name for tool in found) or "nothing")
        return ir.ToolResult(identifier, (ir.Text(said),), "tool_search")
    content: tuple[ir.Part, ...]
    if fields.raw("output")[:1] != b"{" and (kind in _RESULTS or fields.is_text("output")):
        content = _content(fields, "output", foreign)
    elif kind == "computer_call_output":
        output = fields.object("output")
        content = (ir.Image(_image_source(output)),) if output is not None else ()
    else:
        text = fields.raw("output").decode()
        content = (ir.Text(text),) if text else ()
    for part in content:
        if not isinstance(part, ir.Text | ir.Image | ir.File):
            fields.fail("output", "must hold texts, images and files only")
    name = name_of(fields) if fields.has("name") else CALLS.get(kind.removesuffix("_output"), "")
    status = fields.text("status")
    if not content and kind == "apply_patch_call_output":
        content = (ir.Text(status),)
    return ir.ToolResult(identifier, content, name, error=status == "failed")  # type: ignore[arg-type]


def _content(fields: Fields, name: str, foreign: Foreign) -> tuple[ir.Part, ...]:
    if fields.is_text(name):
        text = fields.text(name)
        return (ir.Text(text),) if text else ()
    if not fields.has(name):
        fields.fail(name, "is required")
    parts = (_part(each, foreign) for each in fields.objects(name))
    return tuple(part for part in parts if part is not None and part != ir.Text(""))


def _part(fields: Fields, foreign: Foreign) -> ir.Part | None:
    kind = fields.text("type", None)
    part: ir.Part
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        part = parse_text(fields)
        if len(part.citations) < len(fields.objects("annotations")):
            foreign.hint(fields.at("annotations"))
    elif kind == "refusal":
        part = ir.Refusal(fields.text("refusal", None))
    elif kind == "input_image":
        part = ir.Image(_image_source(fields), _detail(fields))
    elif kind == "input_file":
        part = ir.File(_file_source(fields), fields.text("filename"))
    elif kind == "input_audio" and (audio := fields.object("input_audio")) is not None:
        media_type = AUDIO_FORMATS.get(audio.text("format", None))
        if media_type is None:
            audio.fail("format", f"must be one of {', '.join(AUDIO_FORMATS)}")
        part = ir.Audio(ir.Source("base64", audio.text("data", None), media_type))
        audio.finish()
    elif kind == "input_audio":
        fields.fail(kind, "is required")
    else:
        foreign.lost.append(f"{fields.path} ({kind})")
        return None
    fields.finish()
    return part


def _image_source(fields: Fields) -> ir.Source:
    if identifier := fields.text("file_id"):
        return ir.Source("file", identifier)
    return split_data_url(fields.text("image_url", None))


def _detail(fields: Fields) -> str:
    detail = fields.text("detail")
    return "" if detail == "auto" else detail


def _file_source(fields: Fields) -> ir.Source:
    if identifier := fields.text("file_id"):
        return ir.Source("file", identifier)
    if url := fields.text("file_url"):
        return ir.Source("url", url)
    return file_source(fields.text("file_data", None), fields.text("filename"))


# Of requests and answers alike


def parse_text(fields: Fields) -> ir.Text:
    """A text with its annotations."""
    citations = tuple(cite for each in fields.objects("annotations") if (cite := parse_citation(each)) is not None)
    fields.ignore("logprobs")
    return ir.Text(fields.text("text", None), citations)


def parse_citation(fields: Fields) -> ir.Citation | None:
    """One of ``annotations``; ``None`` for those of the vendor's own tools that cite nothing."""
    kind = fields.text("type")
    if kind == "url_citation":
        return ir.Citation(
            "url",
            url=fields.text("url"),
            title=fields.text("title"),
            text_start=fields.integer("start_index"),
            text_end=fields.integer("end_index"),
        )
    if kind == "file_citation":
        start = fields.integer("index")
        return ir.Citation("file", file=fields.text("file_id"), title=fields.text("filename"), text_start=start)
    return None


def parse_thought(fields: Fields) -> ir.Thinking:
    """A ``reasoning`` item. Of its content and summary, the content is the thought and the summary says it again."""
    texts = [each.text("text") for each in fields.objects("content")]
    summary = [each.text("text") for each in fields.objects("summary")]
    text = "".join(texts) or SUMMARY_BREAK.join(summary)
    signature = own_signature(fields.text("encrypted_content"))
    identifier = fields.text("id")
    if _MADE.fullmatch(identifier):
        identifier = ""
    return ir.Thinking(text, signature, redacted=bool(signature and not text), id=identifier)


_MADE = re.compile(r"rs_.*_[0-9]+")
"""An id the gateway gave a thought whose vendor gives none (``envelope.py``). OpenAI's have one ``_``."""


SUMMARY_BREAK = "\n\n"
"""Between two parts of a summary."""
