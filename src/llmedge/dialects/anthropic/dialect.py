"""Anthropic Messages: ``POST /v1/messages`` (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic import answer, errors, render, request
from llmedge.dialects.anthropic.decoder import Decoder
from llmedge.dialects.anthropic.encoder import Encoder
from llmedge.dialects.anthropic.pieces import pieces
from llmedge.dialects.anthropic.reader import MessageReader
from llmedge.dialects.dialect import CountingDialect, Request, ResponseContext, StreamReader
from llmedge.dialects.fields import AnswerFields
from llmedge.dialects.openai_answer import parse_error
from llmedge.dialects.openai_common import PassedRequest, check_fields, count_items, parse_body
from llmedge.dialects.rendering import Carries
from llmedge.dialects.sse import FramedReader
from llmedge.errors import ValidationError
from llmedge.model import Event, RawObject, Usage

_encode = msgspec.json.Encoder().encode


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, msgspec.Raw]]


class _CountRequest(msgspec.Struct, kw_only=True):
    """The fields both endpoints have, with the types the API documents. Ranges are the vendor's business."""

    model: str
    messages: list[_Message]
    system: str | list[dict[str, msgspec.Raw]] | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    tool_choice: dict[str, msgspec.Raw] | None = None
    thinking: dict[str, msgspec.Raw] | None = None
    output_config: dict[str, msgspec.Raw] | None = None


class _MessagesRequest(_CountRequest, kw_only=True):
    max_tokens: int
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    service_tier: str | None = None


class _PassedMessages(PassedRequest, kw_only=True):
    messages: msgspec.Raw = msgspec.Raw(b"")


_passed = msgspec.json.Decoder(_PassedMessages)
_decoder = msgspec.json.Decoder(_MessagesRequest)
_count_decoder = msgspec.json.Decoder(_CountRequest)


class Anthropic(CountingDialect):
    """Quirks of vendors it knows are listed at :func:`llmedge.dialects.anthropic.render.render`."""

    name = "anthropic"
    prompt = ("system", "messages")
    limits = ("max_tokens",)
    heartbeat = b'event: ping\ndata: {"type": "ping"}\n\n'
    headers = {"anthropic-version": "2023-06-01"}
    field_names = request.FIELD_NAMES
    carries = Carries(
        "Text.citations Text.cache Image.cache Audio File.name File.context File.cite File.cache ToolCall.cache",
        "ToolResult.error ToolResult.cache Thinking Tool.cache",
    )
    needs = frozenset(
        {
            "system_first",
            "no_silent_errors",
            "no_blank_text",
            "no_allowed_tools",
            "no_json_object",
            "schema_required",
            "no_schema_description",
            "flat_schemas",
            "claude_schemas",
            "user_first",
            "claude_prefill",
        }
    )

    # For a client who speaks it

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = parse_body(raw, _passed, max_depth)
        return Request(
            fields=fields,
            model=known.model,
            stream=bool(known.stream),
            wants_usage=True,
            choices=1,
            message_count=count_items(known.messages),
        )

    def parse_count_request(
        self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False
    ) -> Request:
        return self.parse_request(raw, max_depth)

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        """Where tokens are counted only, ``max_tokens`` is not asked for."""
        known = check_fields(fields, _count_decoder if counts else _decoder)
        if not known.messages:
            raise ValidationError("The field 'messages' must hold at least one message.", param="messages")
        for index, message in enumerate(known.messages):
            if message.role not in ("user", "assistant", "system"):
                where = f"messages[{index}].role"
                raise ValidationError(f"The field '{where}' must be one of user, assistant, system.", param=where)

    parse = staticmethod(request.parse)
    render_answer = staticmethod(answer.render)
    encoder = staticmethod(Encoder)
    error_body = staticmethod(errors.body)
    error_frame = staticmethod(errors.frame)

    def render_count_answer(self, tokens: int) -> bytes:
        return _encode({"input_tokens": tokens})

    # For a vendor who speaks it

    def forward_count(self, fields: RawObject, model: str) -> bytes:
        return _encode({**fields, "model": model})

    _render = staticmethod(render.render)
    _render_count = staticmethod(render.render_count)
    parse_answer = staticmethod(answer.parse)
    parse_error = staticmethod(parse_error)

    def read_answer(self, body: bytes) -> Usage | None:
        return answer.read_usage(answer.check(body))

    def parse_count(self, body: bytes) -> int:
        top = AnswerFields.of_answer(body)
        if not top.has("input_tokens") and top.has("error"):
            raise errors.failure(body, "with status 200")
        tokens = top.value("input_tokens")
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            top.fail("input_tokens", "is not a number of tokens")
        return tokens

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        """Usage is a part of the stream that cannot be left out, and there is one choice."""
        return MessageReader(max_event)

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        return pieces(body)

    def decoder(self, *, choices: int, max_event: int) -> FramedReader[ir.StreamEvent]:
        return Decoder(max_event)
