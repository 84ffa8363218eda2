"""What is around an answer: the response object, its usage, why it ended, its errors
(platform.openai.com/docs/api-reference/responses/object)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir, openai_answer
from llmedge.dialects.billing import in_tier, told_cost
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.lenient import count, decode
from llmedge.errors import TargetError, VendorFailed, VendorRateLimited, VendorUnavailable
from llmedge.model import Usage

_decode = msgspec.json.Decoder().decode

# Repeated in every answer. The values are the API's for a request that says nothing; ``store`` is not: nothing said
# through a translation can be fetched again, and the answer is honest about it.
_ECHO: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
_MERGED = ("reasoning", "text")


class Envelope:
    """The response object of one answer to one request."""

    def __init__(
        self, context: ResponseContext, id: str = "", model: str = "", created: int = 0, service_tier: str = ""
    ) -> None:
        self.id = id or f"resp_{context.id.removeprefix('resp_')}"
        self._stem = context.id.removeprefix("resp_")  # some vendors give all their answers one id
        self._remember = context.remember
        self._fixed: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": created or context.created,
            "model": model or context.model,
        }
        self._now = context.now
        self._echo = {name: _context(context, name, value) for name, value in _ECHO.items()}
        self._echo["tools"] = _tools(self._echo["tools"])
        self._echo["service_tier"] = service_tier or "default"
        self._echo["store"] = False
        if (user := _context(context, "user", None)) is not None:
            self._echo["user"] = user

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the output item at ``index``, where the vendor gave none."""
        return f"{prefix}_{self._stem}_{index}"

    def remember(self, output: list[Any]) -> None:
        """Keep the items of an answer that is complete, where the client may refer to them."""
        if self._remember is not None:
            for item in output:
                self._remember(item["id"], msgspec.json.encode(item))

    def body(
        self,
        status: str,
        output: list[Any],
        usage: Usage | None = None,
        incomplete: str | None = None,
    ) -> dict[str, Any]:
        """The object, with every field the API documents as required.

        :param incomplete: why it is, where ``status`` says so.
        """
        return {
            **self._fixed,
            "completed_at": int(self._now()) if self._now is not None and status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "output": output,
            "usage": None if usage is None else render_usage(usage),
            **self._echo,
        }


def _context(context: ResponseContext, name: str, default: Any) -> Any:
    raw = context.fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return default
    if name in _MERGED and isinstance(given := _decode(raw), dict):
        return {**default, **given}
    # In a stream the lines of a client's JSON would end the event.
    return msgspec.Raw(msgspec.json.format(bytes(raw), indent=-1))


def _tools(raw: Any) -> list[Any]:
    """The tools as they were given, with every field that the description of a function requires."""
    tools = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]]) if raw else []
    return [_FUNCTION | tool if bytes(tool.get("type", b"")) == b'"function"' else tool for tool in tools]


_FUNCTION: dict[str, Any] = {"description": None, "parameters": None, "strict": None}


# Why it ended


def ended(finish: ir.FinishReason, refused: bool) -> tuple[str, str | None]:
    """Status and the reason of ``incomplete_details``.

    :param refused: the answer has a refusal in it, which says by itself what a reason would have to.
    """
    if finish in ("length", "context"):
        return "incomplete", "max_output_tokens"
    if finish == "filter" or (finish == "refusal" and not refused):
        return "incomplete", "content_filter"
    return "completed", None


def finish_of(status: str, reason: str, called: bool, refused: bool) -> ir.FinishReason:
    """The opposite.

    :param called: the answer calls a tool.
    """
    if status == "incomplete":
        return "filter" if reason == "content_filter" else "length"
    return "tool" if called else "refusal" if refused else "stop"


# Usage


def render_usage(usage: Usage) -> dict[str, Any]:
    """The Responses API's usage object; it has no words for audio."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def parse_usage(raw: Any, tier: Any = None) -> Usage | None:
    """The usage object, or ``None`` for none. An answer is not worth less for a usage nobody can read.

    :param tier: the response's ``service_tier``.
    """
    usage = decode(raw) if raw else None
    if not isinstance(usage, dict):
        return None
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return in_tier(openai_answer.parse_usage(raw), tier)  # some servers say it as in chats
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    counted = Usage(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cached=count(read, "cached_tokens"),
        cache_write=count(read, "cache_write_tokens"),
        reasoning=count(written, "reasoning_tokens"),
        cost=told_cost(usage),
    )
    return in_tier(counted, tier)


# Errors

_RATE = {"rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "slow_down", "429"}
_LOAD = {"overloaded", "overloaded_error", "server_overloaded", "server_is_overloaded", "service_unavailable", "503"}


def failure(error: Any, cancelled: bool = False) -> TargetError:
    """The exception for an error object: of a response whose status is ``failed``, or of an ``error`` event, whose
    fields the reference has flat and the API nested."""
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    words = {str(error.get("code")), str(error.get("type"))}
    message = error.get("message")
    why = message if isinstance(message, str) and message else "it gave no reason"
    if words & _RATE:
        return VendorRateLimited(f"is limiting the gateway's rate: {why}")
    if words & _LOAD:
        return VendorUnavailable(f"is not available: {why}")
    return VendorFailed(f"{'cancelled its answer' if cancelled else 'failed while answering'}: {why}")
