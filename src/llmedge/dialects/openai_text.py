"""OpenAI legacy completions: ``POST /completions`` (platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

import msgspec

from llmedge.dialects.dialect import Request
from llmedge.dialects.openai_common import CommonRequest, OpenAIDialect, parse_body
from llmedge.errors import ValidationError
from llmedge.model import Operation


class _TextRequest(CommonRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None


_decoder = msgspec.json.Decoder(_TextRequest)


class OpenAIText(OpenAIDialect):
    name = "openai_text"
    operation = Operation.TEXT

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = parse_body(raw, _decoder, max_depth)
        prompts = 1
        if isinstance(known.prompt, list):
            if not known.prompt:
                raise ValidationError("The field 'prompt' must not be an empty list.", param="prompt")
            if not isinstance(known.prompt[0], int):  # a list of numbers is one prompt of tokens
                prompts = len(known.prompt)
        return Request(
            fields=fields,
            model=known.model,
            stream=bool(known.stream),
            wants_usage=bool(known.stream_options and known.stream_options.include_usage),
            choices=(known.n or 1) * prompts,
            message_count=None,
        )
