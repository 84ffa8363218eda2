"""OpenAI Responses: ``POST /responses`` (platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, Request, ResponseContext, StreamReader
from llmedge.dialects.openai_answer import parse_error
from llmedge.dialects.openai_common import check_fields, count_items, parse_body
from llmedge.dialects.openai_responses import answer, render, request
from llmedge.dialects.openai_responses.decoder import Decoder
from llmedge.dialects.openai_responses.encoder import Encoder
from llmedge.dialects.openai_responses.envelope import parse_usage
from llmedge.dialects.openai_responses.reader import EventReader
from llmedge.dialects.rendering import Carries, RenderContext
from llmedge.dialects.sse import FramedReader
from llmedge.errors import EdgeError, ValidationError
from llmedge.model import Event, RawObject, Usage

_encode = msgspec.json.Encoder().encode


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    content: str | list[dict[str, msgspec.Raw]] | None = None


class _ResponsesRequest(msgspec.Struct, kw_only=True):
    """The fields with the types the API documents. Ranges are the vendor's business."""

    model: str
    input: str | list[_Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    tool_choice: str | dict[str, msgspec.Raw] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, msgspec.Raw] | None = None
    reasoning: dict[str, msgspec.Raw] | None = None
    include: list[str] | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    prompt: dict[str, msgspec.Raw] | None = None
    conversation: str | dict[str, msgspec.Raw] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None


class _PassedResponses(msgspec.Struct, kw_only=True):
    model: str | None = None
    stream: bool | None = None
    input: msgspec.Raw = msgspec.Raw(b"")


_decoder = msgspec.json.Decoder(_ResponsesRequest)
_passed = msgspec.json.Decoder(_PassedResponses)


class OpenAIResponses(ChatDialect):
    name = "openai_responses"
    prompt = ("instructions", "input")
    limits = ("max_output_tokens",)
    field_names = request.FIELD_NAMES
    carries = Carries("Text.citations Image.detail Audio.id File.name Thinking")
    needs = frozenset(
        {"no_document_context", "no_text_documents", "file_names", "flat_schemas", "openai_schemas", "no_stop"}
    )

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = parse_body(raw, _passed, max_depth, model)
        items = count_items(known.input)
        return Request(
            fields=fields,
            model=known.model,
            stream=bool(known.stream),
            wants_usage=True,  # the last event always has it
            choices=1,
            message_count=int(bytes(known.input) not in (b"", b"null")) if items is None else items,
        )

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """A stored prompt (``prompt``) names its model itself, where the body names none."""
        if bytes(fields.get("model", b"null")) == b"null" and bytes(fields.get("prompt", b"null")) != b"null":
            return _encode(fields)
        return super().forward(fields, model, stream=stream, ask_usage=ask_usage)

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        if bytes(fields.get("model", b"null")) == b"null":
            fields = {**fields, "model": msgspec.Raw(b'""')}
        known = check_fields(fields, _decoder)
        if known.input is None and not (known.prompt or known.previous_response_id or known.conversation):
            raise ValidationError("The field 'input' is required.", param="input")
        if known.input == []:
            raise ValidationError("The field 'input' must hold at least one item.", param="input")

    def error_body(self, error: EdgeError) -> bytes:
        return _encode(error.body())

    def error_frame(self, error: EdgeError) -> bytes:
        """The fields flat, as the reference has them, and nested, as the API sends them: the SDK raises on nothing
        else (openai/openai-python issue 2487). Who writes it does not know how many events came before."""
        payload = {
            "type": "error",
            "sequence_number": 0,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            **error.body(),
        }
        return b"event: error\ndata: " + _encode(payload) + b"\n\n"

    def read_answer(self, body: bytes) -> Usage | None:
        response = answer.check(body)
        return parse_usage(response.raw("usage"), response.text("service_tier"))

    parse_error = staticmethod(parse_error)

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        return EventReader(max_event=max_event)

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        """The last event holds the answer as it came."""
        *events, last = super().pieces(body, context)
        name = last.frame.partition(b"\n")[0].removeprefix(b"event: ")
        payload = b'{"type":"%b","sequence_number":%d,"response":%b}' % (name, len(events), body)
        return [*events, Event(last.kind, b"event: %b\ndata: %b\n\n" % (name, payload))]

    parse = staticmethod(request.parse)

    def _render(
        self, request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]
    ) -> bytes:
        return render.render(request, model, context, stream=stream)

    parse_answer = staticmethod(answer.parse)
    render_answer = staticmethod(answer.render)
    encoder = staticmethod(Encoder)

    def decoder(self, *, choices: int, max_event: int) -> FramedReader[ir.StreamEvent]:
        return Decoder(max_event=max_event)
