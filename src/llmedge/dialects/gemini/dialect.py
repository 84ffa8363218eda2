"""Gemini: ``POST /models/{model}:generateContent`` and ``:streamGenerateContent?alt=sse``
(ai.google.dev/api/generate-content). Which model, and whether it streams, stand in the URL."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import CountingDialect, Request, ResponseContext, StreamReader
from llmedge.dialects.gemini import answer, count, encoder, render, request, stream, usage, wire
from llmedge.dialects.gemini.wire import GoogleFields
from llmedge.dialects.openai_common import decode_body
from llmedge.dialects.rendering import Carries, RenderContext
from llmedge.model import Event, EventKind, RawObject, Usage

_encode = msgspec.json.Encoder().encode
_any = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decode_config = _any.decode


class Gemini(CountingDialect):
    name = "gemini"
    prompt = ("systemInstruction", "system_instruction", "contents")
    heartbeat = wire.HEARTBEAT
    comments = False  # see there
    field_names = request.FIELD_NAMES
    carries = Carries("Image.detail Audio.id File.name ToolCall.signature ToolResult.error Thinking")
    needs = frozenset(
        {
            "system_first",
            "no_blank_text",
            "no_document_context",
            "no_schema_description",
            "flat_schemas",
            "gemini_schemas",
            "joined_turns",
            "user_first",
        }
    )

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, _ = decode_body(raw, _any, max_depth)
        top = GoogleFields(fields)
        if not model.strip():
            top.fail("model", "must be in the URL")
        choices = 1
        if (config := top.object("generationConfig")) is not None:
            choices = config.integer("candidateCount") or 1
            if choices < 1:
                config.fail("candidateCount", "must be at least 1")
            twice = len(config.fields) != len(_config(fields))  # which of two spellings its vendor takes nobody knows
            if twice or ("generationConfig" in fields and "generation_config" in fields):
                top.fail("generationConfig", "must be there once, and hold each field once: in one of its spellings")
        return Request(
            fields=fields,
            model=model,
            stream=stream,
            wants_usage=True,
            choices=choices,
            message_count=count.contents_in(fields),
        )

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        top = GoogleFields(fields)
        contents = top.objects("contents")
        if not contents:
            top.fail("contents", "must hold at least one content")
        for content in contents:
            content.text("role")
            content.objects("parts")
        top.object("systemInstruction")
        top.objects("tools")
        top.object("toolConfig")

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """The body as it came; one that repeats the URL's model gets the vendor's."""
        if "model" in fields:
            fields = {**fields, "model": f"models/{model}"}
        return _encode(fields)

    def asked_output(self, fields: RawObject) -> int | None:
        config = _config(fields)
        raw = bytes(config.get("maxOutputTokens") or config.get("max_output_tokens") or b"")
        return int(raw) if raw.isdigit() and len(raw) < 16 else None

    def with_output(self, fields: RawObject, most: int) -> RawObject:
        config = {name: raw for name, raw in _config(fields).items() if name != "max_output_tokens"}
        config["maxOutputTokens"] = msgspec.Raw(b"%d" % most)
        name = "generation_config" if "generation_config" in fields else "generationConfig"
        return {**fields, name: msgspec.Raw(_encode(config))}

    def read_answer(self, body: bytes) -> Usage | None:
        return usage.parse(answer.check(body).usage_metadata)

    parse_error = staticmethod(wire.parse_error)
    error_body = staticmethod(wire.error_body)
    error_frame = staticmethod(wire.error_frame)

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        return stream.Reader(choices=choices, max_event=max_event)

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        """A stream's only event looks like a whole answer."""
        answer.check(body)
        return [Event(EventKind.CONTENT, b"data: " + body + b"\r\n\r\n"), Event(EventKind.DONE, b"")]

    parse = staticmethod(request.parse)

    def _render(
        self, request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]
    ) -> bytes:
        return render.render(request, model, context, quirks)

    parse_answer = staticmethod(answer.parse)
    render_answer = staticmethod(answer.render)
    decoder = staticmethod(stream.Decoder)
    encoder = staticmethod(encoder.Encoder)

    # countTokens; see :mod:`llmedge.dialects.gemini.count`

    parse_count_request = staticmethod(count.parse_request)
    forward_count = staticmethod(count.forward)
    _render_count = staticmethod(count.render)
    parse_count = staticmethod(count.parse_answer)
    render_count_answer = staticmethod(count.render_answer)


def _config(fields: RawObject) -> dict[str, msgspec.Raw]:
    """The settings of a request, each as it came."""
    raw = fields.get("generationConfig") or fields.get("generation_config")
    try:
        return {} if raw is None else _decode_config(raw)
    except msgspec.DecodeError:
        return {}
