"""The cases as Anthropic Messages (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

import json
from typing import Any

from llmedge.model import Usage
from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told

FINISH = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool": "tool_use",
    "filter": "refusal",
    "refusal": "refusal",
}


def request(case: str, stream: bool, model: str) -> dict[str, Any]:
    content: Any = cases.QUESTION
    if case == "image":
        source = {"type": "base64", "media_type": "image/png", "data": cases.IMAGE}
        content = [{"type": "text", "text": cases.QUESTION}, {"type": "image", "source": source}]
    messages: list[Any] = [{"role": "user", "content": content}]
    body: dict[str, Any] = {"model": model, "max_tokens": 4096, "messages": messages}
    if case == "system":
        body["system"] = cases.SYSTEM
    elif case == "turns":
        messages[:0] = [
            {"role": role, "content": text} for role, text in zip(("user", "assistant"), cases.EARLIER, strict=True)
        ]
    elif case in ("tool", "parallel", "result"):
        body["tools"] = [{"name": cases.TOOL[0], "description": cases.TOOL[1], "input_schema": cases.SCHEMA}]
    elif case == "schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": cases.SCHEMA}}
    elif case == "thinking":
        body |= {"max_tokens": 4096 + cases.BUDGET, "thinking": {"type": "enabled", "budget_tokens": cases.BUDGET}}
    elif case == "stop":
        body["stop_sequences"] = [cases.STOP]
    elif case == "max_tokens":
        body["max_tokens"] = 50
    if case == "result":
        calls = [_call(id, name, json.loads(text)) for id, name, text in cases.CALLS]
        results = [
            {"type": "tool_result", "tool_use_id": id, "content": result}
            for (id, _, _), result in zip(cases.CALLS, cases.RESULTS, strict=True)
        ]
        messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return body | ({"stream": True} if stream else {})


def _call(id: str, name: str, input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def _usage(usage: Usage, delta: bool = False) -> dict[str, Any]:
    said: dict[str, Any] = {
        "input_tokens": usage.input - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if not delta:
        said["cache_creation"] = {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0}
        said |= {"inference_geo": None, "service_tier": None}
    details = {"thinking_tokens": usage.reasoning} if usage.reasoning else None
    return said | {"output_tokens_details": details, "server_tool_use": None}


def answer(told: Told, request: dict[str, Any]) -> dict[str, Any]:
    content: list[Any] = []
    for kind, said in told.parts:
        if kind in ("text", "refusal"):
            content.append({"type": "text", "text": "".join(said)})
        elif kind == "thinking":
            content.append({"type": "thinking", "thinking": "".join(said), "signature": cases.SIGNATURE})
        else:
            content.append(_call(said[0], said[1], json.loads("".join(said[2]))))
    return {
        "id": told.id,
        "type": "message",
        "role": "assistant",
        "model": told.model,
        "content": content,
        "stop_reason": FINISH[told.finish],
        "stop_sequence": told.stop_sequence or None,
        "stop_details": None,
        "container": None,
        "usage": _usage(told.usage),
    }


def stream(told: Told, request: dict[str, Any], translated: bool) -> list[tuple[str, Any]]:
    """:param translated: the usage came last, so the beginning cannot tell it."""
    begun = Usage() if translated else Usage(input=told.usage.input, output=1, cached=4, cache_write=2)
    message = answer(told, request) | {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[tuple[str, Any]] = [("", {"type": "message_start", "message": message | {"usage": _usage(begun)}})]
    for index, (kind, said) in enumerate(told.parts):
        block: dict[str, Any]
        if kind in ("text", "refusal"):
            block = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in ([said] if kind == "refusal" else said)]
        elif kind == "thinking":
            block = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in said]
            deltas.append({"type": "signature_delta", "signature": cases.SIGNATURE})
        else:
            block = _call(said[0], said[1], {})
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in said[2]]
        events.append(("", {"type": "content_block_start", "index": index, "content_block": block}))
        events += [("", {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
        events.append(("", {"type": "content_block_stop", "index": index}))
    delta = {"stop_reason": FINISH[told.finish], "stop_sequence": told.stop_sequence or None}
    delta |= {"stop_details": None, "container": None}
    events.append(("", {"type": "message_delta", "delta": delta, "usage": _usage(told.usage, True)}))
    events.append(("", {"type": "message_stop"}))
    return [(event["type"], event) for _, event in events]


ERROR = {"type": "error", "error": {"type": "invalid_request_error", "message": "No such thing."}}
ERROR_EVENT = ("error", {"type": "error", "error": {"type": "api_error", "message": "It broke"}})


def error(status: int, code: str, type: str, message: str, param: str | None, details: Any) -> dict[str, Any]:
    kind = "invalid_request_error" if status == 400 else "api_error"
    said = {"type": kind, "message": message, "code": code, "param": param, "details": details}
    return {"type": "error", "error": said}


def error_event(message: str) -> tuple[str, Any]:
    return "error", error(502, "UPSTREAM_ERROR", "", message, None, None)
