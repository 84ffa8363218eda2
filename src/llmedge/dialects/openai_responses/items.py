"""Input items → messages (platform.openai.com/docs/api-reference/responses/create#responses-create-input).

What the assistant said in a row, be it thoughts, texts or calls, is one message of the IR, and so are tool results
in a row. Ids and states of items only matter to a vendor who stored them; a thought's is kept.
"""

from __future__ import annotations

import re

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields
from llmedge.dialects.media import AUDIO_FORMATS, split_data_url

_MERGED = ("assistant", "tool")


def parse_input(top: Fields, unread: list[str]) -> list[ir.Message]:
    """:param unread: collects the paths of items that have no place in the IR.
    :raises ValidationError: a field is mistyped.
    """
    if top.is_text("input"):
        text = top.text("input")
        return [ir.Message("user", (ir.Text(text),) if text else (), at="input")]
    messages: list[ir.Message] = []
    for item in top.objects("input"):
        message = _message(item, unread)
        if message is None:
            continue
        if messages and message.role in _MERGED and messages[-1].role == message.role:
            last = messages.pop()
            message = ir.Message(last.role, last.parts + message.parts, at=last.at)
        messages.append(message)
    return messages


def _message(fields: Fields, unread: list[str]) -> ir.Message | None:
    kind = fields.text("type") or ("message" if fields.has("role") else "item_reference")
    role: ir.Role = "assistant"
    parts: tuple[ir.Part, ...]
    if kind == "message":
        speaker = fields.text("role", None)
        if speaker not in ("user", "assistant", "system", "developer"):
            fields.fail("role", "must be one of user, assistant, system, developer")
        role = speaker  # type: ignore[assignment]
        parts = _content(fields, "content", unread)
        if fields.text("phase", "final_answer") != "final_answer":
            unread.append(fields.at("phase"))
    elif kind == "function_call":
        parts = (parse_call(fields),)
    elif kind == "function_call_output":
        role = "tool"
        content = _content(fields, "output", unread)
        for part in content:
            if not isinstance(part, ir.Text | ir.Image | ir.File):
                fields.fail("output", "must hold texts, images and files only")
        parts = (ir.ToolResult(fields.text("call_id", None), content, fields.text("name")),)  # type: ignore[arg-type]
    elif kind == "reasoning":
        parts = (parse_thought(fields),)
    else:
        unread.append(fields.path)  # references to stored items, and calls of the vendor's own tools
        return None
    fields.ignore("id", "status")
    fields.finish()
    return ir.Message(role, parts, at=fields.path)


def _content(fields: Fields, name: str, unread: list[str]) -> tuple[ir.Part, ...]:
    if fields.is_text(name):
        text = fields.text(name)
        return (ir.Text(text),) if text else ()
    if not fields.has(name):
        fields.fail(name, "is required")
    parts = (_part(each, unread) for each in fields.objects(name))
    return tuple(part for part in parts if part != ir.Text(""))


def _part(fields: Fields, unread: list[str]) -> ir.Part:
    kind = fields.text("type", None)
    part: ir.Part
    if kind in ("input_text", "output_text", "text"):
        part = parse_text(fields)
        if len(part.citations) < len(fields.objects("annotations")):
            unread.append(fields.at("annotations"))
    elif kind == "refusal":
        part = ir.Refusal(fields.text("refusal", None))
    elif kind == "input_image":
        part = ir.Image(_image_source(fields), _detail(fields))
    elif kind == "input_file":
        part = ir.File(_file_source(fields), fields.text("filename"))
        if fields.text("detail", "auto") != "auto":
            unread.append(fields.at("detail"))
    elif kind == "input_audio" and (audio := fields.object("input_audio")) is not None:
        media_type = AUDIO_FORMATS.get(audio.text("format", None))
        if media_type is None:
            audio.fail("format", f"must be one of {', '.join(AUDIO_FORMATS)}")
        part = ir.Audio(ir.Source("base64", audio.text("data", None), media_type))
        audio.finish()
    else:
        fields.fail("type", "is not a kind of content there is, or its content is missing")
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
    data = fields.text("file_data", None)
    return split_data_url(data) if data.startswith("data:") else ir.Source("base64", data)


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


def parse_call(fields: Fields) -> ir.ToolCall:
    """A ``function_call``; a thought signature is where Google's compatible API has it in chats."""
    signature = ""
    if (extra := fields.object("extra_content")) is not None:
        if (google := extra.object("google")) is not None:
            signature = google.text("thought_signature")
            google.finish()
        extra.finish()
    return ir.ToolCall(
        fields.text("call_id", None), fields.text("name", None), fields.text("arguments") or "{}", signature
    )


def parse_thought(fields: Fields) -> ir.Thinking:
    """A ``reasoning`` item. Of its content and summary, the content is the thought and the summary says it again."""
    texts = [each.text("text") for each in fields.objects("content")]
    summary = [each.text("text") for each in fields.objects("summary")]
    text = "".join(texts) or SUMMARY_BREAK.join(summary)
    signature = fields.text("encrypted_content")
    identifier = fields.text("id")
    if _MADE.fullmatch(identifier):
        identifier = ""
    return ir.Thinking(text, signature, redacted=bool(signature and not text), id=identifier)


_MADE = re.compile(r"rs_.*_[0-9]+")
"""An id the gateway gave a thought whose vendor gives none (``envelope.py``). OpenAI's have one ``_``."""


SUMMARY_BREAK = "\n\n"
"""Between two parts of a summary."""
