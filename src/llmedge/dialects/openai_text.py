"""OpenAI legacy completions: ``POST /completions`` (platform.openai.com/docs/api-reference/completions).

A vendor that has chats only gets the prompt as a user's message.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ClientDialect, Request, ResponseContext
from llmedge.dialects.fields import Fields
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.openai_chat.answer import REASONS, render_usage
from llmedge.dialects.openai_chat.request import COMMON
from llmedge.dialects.openai_chunks import DONE
from llmedge.dialects.openai_common import (
    CommonRequest,
    OpenAIDialect,
    PassedCompletion,
    check_fields,
    parse_body,
)
from llmedge.dialects.openai_text_stream import TextDecoder
from llmedge.dialects.scalars import parse_scalars
from llmedge.errors import ValidationError
from llmedge.model import Event, EventKind, RawObject, Usage
from llmedge.operations import Operation


class _TextRequest(CommonRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None


class _PassedText(PassedCompletion, kw_only=True):
    prompt: Any = None


_decoder = msgspec.json.Decoder(_TextRequest)
_passed = msgspec.json.Decoder(_PassedText)
_encode = msgspec.json.Encoder().encode


class OpenAIText(OpenAIDialect, ClientDialect):
    name = "openai_text"
    prompt = ("prompt",)
    limits = ("max_tokens",)
    operation = Operation.TEXT

    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        fields, known = parse_body(raw, _passed, max_depth)
        prompts = 1
        if isinstance(known.prompt, list) and known.prompt and not isinstance(known.prompt[0], int):
            prompts = len(known.prompt)  # a list of numbers is one prompt of tokens
        return Request(
            fields=fields,
            model=known.model,
            stream=bool(known.stream),
            wants_usage=bool(known.stream_options and known.stream_options.include_usage),
            choices=(known.n or 1) * prompts,
            message_count=None,
        )

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        if check_fields(fields, _decoder).prompt == []:
            raise ValidationError("The field 'prompt' must not be an empty list.", param="prompt")

    def parse(self, fields: RawObject) -> ir.Request:
        """The prompt as a chat. Several prompts, tokens, ``suffix``, ``echo`` and the rest have no place in one."""
        foreign = Foreign("openai_text")
        top = Fields(fields, "", foreign)
        top.ignore("model", "stream", "stream_options")
        if not top.is_text("prompt"):
            prompts = top.value("prompt")
            if not isinstance(prompts, list) or len(prompts) != 1 or not isinstance(prompts[0], str):
                top.fail("prompt", "must be one text for this model, which has chats only")
            prompt = prompts[0]
        else:
            prompt = top.text("prompt")
        request = ir.Request(
            messages=(ir.Message("user", (ir.Text(prompt),), at="prompt"),),
            stop=(top.text("stop"),) if top.is_text("stop") else top.texts("stop"),
            logit_bias=b"" if (bias := top.raw("logit_bias")) == b"{}" else bias,
            **parse_scalars(top, {name: name for name in ("max_tokens", *COMMON)}),
        )
        top.finish()
        return foreign.placed(request)

    def render_answer(self, answer: ir.Answer, context: ResponseContext) -> bytes:
        payload = _envelope(answer.id, answer.created, answer.model, context)
        payload["choices"] = [
            _choice(
                choice.index,
                "".join(part.text for part in choice.parts if isinstance(part, ir.Text | ir.Refusal)),
                REASONS[choice.finish],
            )
            for choice in answer.choices
        ]
        if answer.usage is not None:
            payload["usage"] = render_usage(answer.usage)
        return _encode(payload)

    def encoder(self, context: ResponseContext) -> TextEncoder:
        return TextEncoder(context)

    def decoder(self, *, choices: int, max_event: int) -> TextDecoder:
        """A reader of one stream into the IR."""
        return TextDecoder(max_event)


class TextEncoder:
    """The IR into chunks of text. What is no text (a thought) has no place here."""

    def __init__(self, context: ResponseContext) -> None:
        self._context = context
        self._head: dict[str, Any] = {}
        self._usage = Usage()
        self._texts: set[tuple[int, int]] = set()

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, ir.Delta) and (event.choice, event.block) in self._texts:
                self._say(out, choices=[_choice(event.choice, event.text, None)])
            elif isinstance(event, ir.Open) and event.kind in ("text", "refusal"):
                self._texts.add((event.choice, event.block))
            elif isinstance(event, ir.Finish):
                self._say(out, choices=[_choice(event.choice, "", REASONS[event.reason])])
            elif isinstance(event, ir.Begin):
                self._head = _envelope(event.id, event.created, event.model, self._context)
            elif isinstance(event, ir.Counted):
                self._usage = event.usage
            elif isinstance(event, ir.End):
                if self._context.wants_usage:
                    self._say(out, choices=[], usage=render_usage(self._usage))
                out.append(DONE)
        return out

    def _say(self, out: list[Event], **more: Any) -> None:
        out.append(Event(EventKind.CONTENT, b"data: " + _encode(self._head | more) + b"\n\n"))


def _envelope(identifier: str, created: int, model: str, context: ResponseContext) -> dict[str, Any]:
    return {
        "id": identifier or context.id,
        "object": "text_completion",
        "created": created or context.created,
        "model": model or context.model,
    }


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
