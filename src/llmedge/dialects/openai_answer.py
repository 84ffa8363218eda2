"""What OpenAI's answers have in common: usage, errors, and what makes one (platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmedge.dialects import lenient
from llmedge.dialects.billing import in_tier, told_cost
from llmedge.dialects.dialect import VendorError
from llmedge.dialects.lenient import UNREADABLE, count, text
from llmedge.errors import UpstreamMalformed, VendorFailed
from llmedge.model import Usage

_NULL = msgspec.Raw(b"null")
_Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(_Fields).decode


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    reasoning_tokens: int | None = None


class _UsageObject(msgspec.Struct):
    """Usage as most tell it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_tokens: int | None = None
    total_tokens: int = 0
    cost: Any = None
    estimated_cost: Any = None
    cost_in_usd_ticks: Any = None
    cache_read_input_tokens: Any = None
    prompt_audio_seconds: Any = None

    def plain(self) -> Usage | None:
        """``None`` where it wants a closer look: see :func:`parse_usage`."""
        read, written = self.prompt_tokens_details, self.completion_tokens_details
        if not (0 <= self.prompt_tokens < 10**9 and 0 <= self.completion_tokens < 10**9):
            return None
        if self.prompt_cache_hit_tokens or self.cached_tokens or self.reasoning_tokens or self.input_tokens:
            return None
        if self.total_tokens > self.prompt_tokens + self.completion_tokens:
            return None
        if self.cost is not None or self.estimated_cost is not None or self.cost_in_usd_ticks is not None:
            return None
        if self.cache_read_input_tokens or self.prompt_audio_seconds:
            return None
        cached = 0
        if written is not None and (written.reasoning_tokens or written.audio_tokens or written.image_tokens):
            return None
        if read is not None:
            cached = read.cached_tokens or 0
            if read.cache_write_tokens or read.audio_tokens or read.image_tokens or not 0 <= cached < 10**9:
                return None
        return Usage(self.prompt_tokens, self.completion_tokens, cached)


class _AnswerObject(msgspec.Struct):
    choices: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    usage: _UsageObject | None = None
    service_tier: str | None = None


_decode_answer = msgspec.json.Decoder(_AnswerObject).decode
_decode_usage = msgspec.json.Decoder(_UsageObject).decode


def read_usage(body: bytes) -> Usage | None:
    """The usage of a whole answer.

    :raises UpstreamMalformed: it is not an answer of this operation.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    try:
        known = _decode_answer(body)
    except UNREADABLE:
        known = None
    if known is not None and known.choices is not msgspec.UNSET and body.isascii():
        if known.usage is None and b'"usage"' not in body:
            return None
        if known.usage is not None and (usage := known.usage.plain()) is not None:
            return usage if known.service_tier is None else in_tier(usage, known.service_tier)
    return usage_of(check_answer(body))


def check_answer(body: bytes) -> _Fields:
    """The fields of a whole answer.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it is an error object behind a status of 200.
    """
    try:
        if not body.isascii():
            body.decode()
        fields = _decode_fields(body)
    except UNREADABLE:
        raise UpstreamMalformed("answered with something that is not a JSON object") from None
    if "choices" not in fields:
        if bytes(fields.get("error", msgspec.Raw(b"null"))) != b"null":
            error = parse_error(body)
            raise VendorFailed(f"answered with an error behind status 200: {error.message}", cause="error_body")
        raise UpstreamMalformed("answered without choices")
    return fields


def parse_error(body: bytes) -> VendorError:
    """The error object in ``body``; empty if there is none. Never raises."""
    document = lenient.decode(body)
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # Google's compatible API puts its errors into lists
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        return VendorError(message=error)
    if not isinstance(error, dict):
        return VendorError()

    message = error.get("message")
    detail = message.get("detail") if isinstance(message, dict) else error.get("detail")  # Mistral's, FastAPI's
    out = text(error, "message") or (detail if isinstance(detail, str) else _complaints(detail))
    more = {name: value for name, value in error.items() if out and name not in _ERROR}
    return VendorError(out, text(error, "type"), text(error, "code"), text(error, "param") or None, more)


_ERROR = {"message", "type", "code", "param", "detail", "details", "object"}
"""What is told in a place of its own."""


def _complaints(detail: Any) -> str:
    """What FastAPI's servers say of a body that is not what it should be: a list, with the place of each mistake."""
    complaints = []
    for each in detail if isinstance(detail, list) else ():
        if isinstance(each, dict) and isinstance(each.get("msg"), str):
            place = each.get("loc")
            where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
            complaints.append(f"{where}: {each['msg']}" if where else each["msg"])
    return "; ".join(complaints)


class _UsageHolder(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _NULL


_decode_holder = msgspec.json.Decoder(_UsageHolder).decode
_decode_holders = msgspec.json.Decoder(list[_UsageHolder]).decode


def usage_of(fields: Mapping[str, msgspec.Raw]) -> Usage | None:
    """The usage in an answer or a chunk, by its top-level fields; see :func:`find_usage`."""
    choices: list[_UsageHolder] = []
    try:
        choices = _decode_holders(fields.get("choices", msgspec.Raw(b"[]")))
    except UNREADABLE:
        pass
    usage = find_usage(fields.get("usage", _NULL), fields.get("x_groq", _NULL), [each.usage for each in choices])
    return in_tier(usage, fields.get("service_tier"))


def find_usage(usage: msgspec.Raw, groq: msgspec.Raw, choices: Iterable[msgspec.Raw]) -> Usage | None:
    """The usage, wherever it stands: where OpenAI has it, in Groq's ``x_groq``, or in a choice, where Moonshot has it
    (platform.moonshot.ai/docs/api/chat). ``None`` for none."""
    found = []
    for raw in (usage, _usage_within(groq), *choices):
        if (each := parse_usage(raw)) is not None:
            if each.input or each.output:
                return each
            found.append(each)
    return found[0] if found else None


def _usage_within(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        return _decode_holder(raw).usage
    except UNREADABLE:
        return _NULL


def parse_usage(raw: Any) -> Usage | None:
    """OpenAI's usage object, or ``None`` for none. An answer is not worth less for a usage nobody can read."""
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        if (known := _decode_usage(raw).plain()) is not None:
            return known
    except msgspec.DecodeError:
        pass  # not as most tell it
    usage = lenient.decode(raw)  # None for JSON with a number that no float can be
    if not isinstance(usage, dict):
        return None
    prompt, output = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    if not prompt and not output:
        return _usage_in_other_words(usage)
    read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    reasoning = count(written, "reasoning_tokens") or count(usage, "reasoning_tokens")  # SGLang's
    if (beside := count(usage, "total_tokens") - prompt - output) > 0 and reasoning in (0, beside):
        reasoning = beside  # xAI and Google's compatible API count thoughts beside the answer, not in it
        output += beside
    # DeepSeek's and Moonshot's own places, and Anthropic's words within OpenAI's.
    cached = next((found for name in _CACHED if (found := count(usage, name))), 0)
    return Usage(
        input=prompt,
        output=output,
        cached=count(read, "cached_tokens") or min(cached, prompt),
        reasoning=reasoning,
        cache_write=count(read, "cache_write_tokens") or count(read, "cache_creation_input_tokens"),
        audio_input=count(read, "audio_tokens"),
        audio_output=count(written, "audio_tokens"),
        image_input=count(read, "image_tokens"),
        image_output=count(written, "image_tokens"),
        audio_ms=1000 * count(usage, "prompt_audio_seconds"),  # Mistral's
        cost=told_cost(usage),
    )


_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")


def _usage_in_other_words(usage: dict[str, Any]) -> Usage:
    """Of the Responses API, or of Anthropic's, whose ``input_tokens`` are without what the cache had."""
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    hit, filled = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    return Usage(
        input=count(usage, "input_tokens") + hit + filled,
        output=count(usage, "output_tokens"),
        cached=hit or count(read, "cached_tokens"),
        reasoning=count(written, "reasoning_tokens"),
        cache_write=filled or count(read, "cache_write_tokens"),
        cost=told_cost(usage),
    )
