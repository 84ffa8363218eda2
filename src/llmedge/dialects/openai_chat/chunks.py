"""What a chat vendor says, a chunk of a stream or a whole answer, decoded: in whatever form vendors say it
(platform.openai.com/docs/api-reference/chat/object and /streaming; docs.mistral.ai/capabilities/reasoning for content
in parts)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.billing import in_tier
from llmedge.dialects.custom_tools import arguments_of
from llmedge.dialects.endings import check_end, with_calls
from llmedge.dialects.lenient import arguments, count, flat, text, whole
from llmedge.dialects.openai_answer import find_usage
from llmedge.errors import VendorFailed
from llmedge.model import Usage

_NULL = msgspec.Raw(b"null")

FINISH: dict[str, ir.FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
    "sensitive": "filter",
    "stop_sequence": "stop_sequence",
}
"""OpenAI's reasons, Mistral's, Zhipu's and those of Hugging Face's servers, and ours. What a vendor adds to them counts
as ``stop``."""


class Function(msgspec.Struct, gc=False):
    name: Any = None
    arguments: msgspec.Raw = _NULL


class Custom(msgspec.Struct, gc=False):
    name: Any = None
    input: Any = None


class ToolCall(msgspec.Struct, gc=False):
    """A call or a piece of one. Some servers put no object around the name and the arguments."""

    index: Any = None
    id: Any = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Any = None
    name_beside: Any = msgspec.field(default=None, name="name")
    arguments_beside: msgspec.Raw = msgspec.field(default=_NULL, name="arguments")

    @property
    def name(self) -> str:
        called = self.custom or self.function
        return flat(self.name_beside if called is None else called.name)

    @property
    def arguments(self) -> str:
        """Of a whole call, or a piece of them."""
        if self.custom is not None:
            return arguments_of(flat(self.custom.input))
        return arguments(self.arguments_beside if self.function is None else self.function.arguments)

    @property
    def whole_arguments(self) -> str:
        said = self.arguments
        return "{}" if not said or said.isspace() else said

    @property
    def identifier(self) -> str:
        """Empty where it is none: a number is only this call's place in this answer."""
        return self.id if isinstance(self.id, str) else ""

    @property
    def signature(self) -> str:
        """Gemini's (ai.google.dev/gemini-api/docs/thought-signatures, "OpenAI compatibility")."""
        google = self.extra_content.get("google") if isinstance(self.extra_content, dict) else None
        return text(google, "thought_signature")


class Message(msgspec.Struct, gc=False):
    """A whole message, or what a chunk adds to it."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    thinking: Any = None
    reasoning_details: Any = None
    tool_calls: list[ToolCall | None] | ToolCall | None = None
    function_call: Function | None = None
    annotations: Any = None
    audio: Any = None

    @property
    def thought(self) -> str:
        """vLLM, DeepSeek, OpenRouter, Copilot and Ollama have a field each; who fills two says the same in both."""
        said = self.reasoning_content or self.reasoning or self.reasoning_text or self.thinking
        return said if isinstance(said, str) else flat(said)

    @property
    def calls(self) -> list[ToolCall]:
        """Of one field or the other: the older one, if it is there as well, repeats a call."""
        calls = self.tool_calls
        found = [calls] if isinstance(calls, ToolCall) else [call for call in calls or () if call is not None]
        return found or ([] if self.function_call is None else [ToolCall(function=self.function_call)])


class Choice(msgspec.Struct, gc=False):
    """:ivar stop_reason: vLLM's: the stop sequence that was met, or a token's number; ``matched_stop`` is SGLang's."""

    index: Any = None
    delta: Message | list[Any] | None = None
    message: Message | list[Any] | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    matched_stop: Any = None
    logprobs: Any = None
    usage: msgspec.Raw = _NULL
    error: Any = None

    def ended(self, called: bool, refused: bool) -> tuple[ir.FinishReason, str]:
        """Why, and at which stop sequence.

        :raises VendorFailed: it failed.
        """
        if self.error:  # OpenRouter's, beside the reason
            raise VendorFailed(f"failed while answering: {text(self.error, 'message') or 'it gave no reason'}")
        check_end(self.finish_reason)
        reason = with_calls(FINISH.get(flat(self.finish_reason).partition(":")[0].lower(), "stop"), called)
        met = self.stop_reason or self.matched_stop
        if reason == "stop" and refused:
            return "refusal", ""
        if reason in ("stop", "stop_sequence") and isinstance(met, str):
            return "stop_sequence", met
        return reason, ""


class Chunk(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[Choice | None] | Choice | None = None
    usage: msgspec.Raw = _NULL
    x_groq: msgspec.Raw = _NULL
    timings: Any = None
    service_tier: Any = None
    error: Any = None

    @property
    def said(self) -> list[Choice]:
        choices = self.choices
        return [choices] if isinstance(choices, Choice) else [choice for choice in choices or () if choice is not None]

    @property
    def seconds(self) -> int:
        return max(0, whole(self.created) or 0)

    def counted(self) -> Usage | None:
        """The usage, wherever it stands; llama.cpp's ``timings`` know what was in its cache."""
        usage = find_usage(self.usage, self.x_groq, [choice.usage for choice in self.said])
        usage = in_tier(usage, self.service_tier)
        if usage is not None and not usage.cached and (cached := count(self.timings, "cache_n")):
            return msgspec.structs.replace(usage, cached=min(cached, usage.input))
        return usage


decode = msgspec.json.Decoder(Chunk).decode


# As nearly all chunks are: a piece of text or of a thought. One that says anything else is no such chunk.


class PlainDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: None = None
    reasoning_text: None = None
    thinking: None = None
    reasoning_details: None = None
    tool_calls: None = None
    function_call: None = None
    annotations: None = None


class PlainChoice(msgspec.Struct, gc=False):
    delta: PlainDelta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None
    message: None = None
    usage: None = None
    error: None = None


class PlainChunk(msgspec.Struct, gc=False):
    choices: list[PlainChoice]
    usage: None = None
    x_groq: None = None
    error: None = None


decode_plain = msgspec.json.Decoder(PlainChunk).decode


def label(value: Any) -> str:
    """An id or a name that nobody needs."""
    return value if isinstance(value, str) else flat(value)


Kind = Literal["thinking", "text", "refusal"]


def pieces(content: Any) -> Iterator[tuple[Kind, str]]:
    """What the content says, in its order: texts, and thoughts where they are parts of it (Mistral's)."""
    if isinstance(content, list):
        for part in content:
            yield from pieces(part)
        return
    kind: Kind = "text"
    if isinstance(content, dict):
        if content.get("type") in ("thinking", "reasoning", "reasoning_content"):
            kind = "thinking"
            content = content.get("thinking") or content.get("reasoning") or content
        elif content.get("type") == "refusal":
            kind, content = "refusal", content.get("refusal")
    if said := flat(content):
        yield kind, said


def citation(annotation: Any) -> ir.Citation | None:
    """One of ``annotations``; ``None`` for what cites no page."""
    page = annotation.get("url_citation") if isinstance(annotation, dict) else None
    if not isinstance(page, dict):
        return None
    return ir.Citation(
        "url",
        url=text(page, "url"),
        title=text(page, "title"),
        text_start=whole(page.get("start_index")),
        text_end=whole(page.get("end_index")),
    )


def tokens(items: Any) -> tuple[ir.TokenLogprob, ...]:
    """The items of ``logprobs.content`` or of ``top_logprobs``; those that are none are left out."""
    return tuple(_token(item) for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))


def _token(item: dict[str, Any]) -> ir.TokenLogprob:
    logprob, raw = item.get("logprob"), item.get("bytes")
    known = isinstance(raw, list) and all(isinstance(each, int) for each in raw)
    return ir.TokenLogprob(
        text(item, "token"),
        logprob if isinstance(logprob, int | float) else 0.0,
        tuple(raw) if known and isinstance(raw, list) else None,
        tokens(item.get("top_logprobs")),
    )


def logprobs(choice: Choice) -> tuple[ir.TokenLogprob, ...] | None:
    """A choice's likelihoods; ``None`` where it has none, or has them in another shape than OpenAI's."""
    content = choice.logprobs.get("content") if isinstance(choice.logprobs, dict) else None
    return tokens(content) if isinstance(content, list) else None
