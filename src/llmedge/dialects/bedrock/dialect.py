"""Bedrock Converse: ``POST /model/{model}/converse`` and ``/converse-stream``.

Source: docs.aws.amazon.com/bedrock/latest/APIReference, checked against botocore's model of ``bedrock-runtime``.
A vendor's dialect only: no endpoint of ours speaks it. What a client would need is here for fakes and tests.
"""

from __future__ import annotations

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.bedrock import answer, render, request, stream
from llmedge.dialects.dialect import ChatDialect, Request, ResponseContext
from llmedge.dialects.fields import Fields
from llmedge.dialects.rendering import Carries, RenderContext
from llmedge.dialects.sse import FramedReader
from llmedge.dialects.weight import is_deeper
from llmedge.errors import EdgeError, ValidationError
from llmedge.model import RawObject

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Bedrock(ChatDialect):
    name = "bedrock"
    heartbeat = b""
    stream_type = b"application/vnd.amazon.eventstream"
    field_names = request.FIELD_NAMES
    carries = Carries(
        "Text.citations Text.cache Image.cache Audio.id File.name File.context File.cite File.cache ToolCall.cache",
        "ToolResult.error ToolResult.cache Thinking.text Thinking.signature Thinking.redacted Tool.cache",
    )
    needs = frozenset(
        {
            "system_first",
            "no_silent_results",
            "no_blank_text",
            "no_allowed_tools",
            "no_json_object",
            "schema_required",
            "tools_of_history",
            "flat_schemas",
            "claude_schemas",
            "user_first",
            "claude_prefill",
            "text_beside_files",
        }
    )

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        if is_deeper(raw, max_depth):
            raise ValidationError(f"The body is nested more than {max_depth} deep (server.max_json_depth).")
        try:
            raw.decode()
            fields = _decode_fields(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ValidationError("The body must be a JSON object.") from None
        messages = Fields(fields).objects("messages")
        if not messages:
            raise ValidationError("The field 'messages' must hold at least one message.", param="messages")
        return Request(fields, model, stream, wants_usage=True, choices=1, message_count=len(messages))

    parse = staticmethod(request.parse)

    def _render(
        self, request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]
    ) -> bytes:
        return render.render(request, model, context, quirks=quirks)

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """As it came: the model is in the URL, usage is always sent."""
        return _encode(fields)

    parse_answer = staticmethod(answer.parse)
    read_answer = staticmethod(answer.read_usage)
    parse_error = staticmethod(answer.parse_error)
    render_answer = staticmethod(answer.render)

    def decoder(self, *, choices: int, max_event: int) -> FramedReader[ir.StreamEvent]:
        return stream.Decoder(max_event=max_event)

    def encoder(self, context: ResponseContext) -> stream.Encoder:
        return stream.Encoder()

    def error_body(self, error: EdgeError) -> bytes:
        return _encode({"message": error.message, "__type": error.code})

    def error_frame(self, error: EdgeError) -> bytes:
        return stream.frame("internalServerException", {"message": error.message}, "exception")
