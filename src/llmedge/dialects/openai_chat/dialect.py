"""OpenAI chat completions: ``POST /chat/completions`` (platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects.dialect import ChatDialect, Request
from llmedge.dialects.openai_chat import answer, render, request
from llmedge.dialects.openai_chat.decoder import Decoder
from llmedge.dialects.openai_chat.encoder import Encoder
from llmedge.dialects.openai_common import (
    CommonRequest,
    OpenAIDialect,
    PassedCompletion,
    check_fields,
    count_items,
    parse_body,
)
from llmedge.dialects.rendering import Carries
from llmedge.errors import ValidationError
from llmedge.model import RawObject


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, msgspec.Raw]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, msgspec.Raw]] | None = None
    tool_call_id: str | None = None


class _ChatRequest(CommonRequest, kw_only=True):
    messages: list[_Message]
    max_completion_tokens: int | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    tool_choice: str | dict[str, msgspec.Raw] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, msgspec.Raw] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    metadata: dict[str, Any] | None = None


class _PassedChat(PassedCompletion, kw_only=True):
    messages: msgspec.Raw = msgspec.Raw(b"")


_decoder = msgspec.json.Decoder(_ChatRequest)
_passed = msgspec.json.Decoder(_PassedChat)


class OpenAIChat(OpenAIDialect, ChatDialect):
    name = "openai_chat"
    prompt = ("messages",)
    limits = ("max_completion_tokens", "max_tokens")
    field_names = request.FIELD_NAMES
    carries = Carries("Message.name Image.detail Audio.id File.name Thinking")
    needs = frozenset(
        {
            "text_results",
            "no_allowed_tools",
            "no_document_context",
            "no_text_documents",
            "file_names",
            "flat_schemas",
            "openai_schemas",
        }
    )

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = parse_body(raw, _passed, max_depth)
        return Request(
            fields=fields,
            model=known.model,
            stream=bool(known.stream),
            wants_usage=bool(known.stream_options and known.stream_options.include_usage),
            choices=known.n or 1,
            message_count=count_items(known.messages),
        )

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        known = check_fields(fields, _decoder)
        if not known.messages:
            raise ValidationError("The field 'messages' must hold at least one message.", param="messages")
        for index, message in enumerate(known.messages):
            if not message.role:
                where = f"messages[{index}].role"
                raise ValidationError(f"The field '{where}' must not be empty.", param=where)

    parse = staticmethod(request.parse)
    _render = staticmethod(render.render)
    parse_answer = staticmethod(answer.parse)
    render_answer = staticmethod(answer.render)
    decoder = staticmethod(Decoder)
    encoder = staticmethod(Encoder)
