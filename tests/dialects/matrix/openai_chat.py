"""The cases as OpenAI chat completions (platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import Any

from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told

FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
}


def request(case: str, stream: bool, model: str) -> dict[str, Any]:
    content: Any = cases.QUESTION
    if case == "image":
        url = {"url": f"data:image/png;base64,{cases.IMAGE}"}
        content = [{"type": "text", "text": cases.QUESTION}, {"type": "image_url", "image_url": url}]
    messages: list[Any] = [{"role": "user", "content": content}]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if case == "system":
        messages.insert(0, {"role": "system", "content": cases.SYSTEM})
    elif case == "turns":
        messages[:0] = [
            {"role": role, "content": text} for role, text in zip(("user", "assistant"), cases.EARLIER, strict=True)
        ]
    elif case in ("tool", "parallel", "result"):
        function = {"name": cases.TOOL[0], "description": cases.TOOL[1], "parameters": cases.SCHEMA}
        body["tools"] = [{"type": "function", "function": function}]
    elif case == "schema":
        schema = {"name": "answer", "schema": cases.SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif case == "thinking":
        body["reasoning_effort"] = cases.EFFORT
    elif case == "stop":
        body["stop"] = [cases.STOP]
    elif case == "max_tokens":
        body["max_completion_tokens"] = 50
    if case == "result":
        calls = [_call(id, name, text) for id, name, text in cases.CALLS]
        messages.append({"role": "assistant", "tool_calls": calls})
        for (id, _, _), result in zip(cases.CALLS, cases.RESULTS, strict=True):
            messages.append({"role": "tool", "tool_call_id": id, "content": result})
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage(told: Told) -> dict[str, Any]:
    usage = told.usage
    prompt = {"cached_tokens": usage.cached, "audio_tokens": 0}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }


def _finish(told: Told) -> str:
    return "stop" if any(kind == "refusal" for kind, _ in told.parts) else FINISH[told.finish]


def _details(pieces: tuple[str, ...]) -> list[Any]:
    return [{"type": "reasoning.text", "text": "".join(pieces), "signature": cases.SIGNATURE}]


def answer(told: Told, request: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for kind, said in told.parts:
        if kind == "text":
            message["content"] = "".join(said)
        elif kind == "thinking":
            message |= {"reasoning_content": "".join(said), "reasoning_details": _details(said)}
        elif kind == "refusal":
            message["refusal"] = said
        else:
            message.setdefault("tool_calls", []).append(_call(said[0], said[1], "".join(said[2])))
    return {
        "id": told.id,
        "object": "chat.completion",
        "created": told.created,
        "model": told.model,
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(told), "logprobs": None}],
        "usage": _usage(told),
    }


def stream(told: Told, request: dict[str, Any], translated: bool) -> list[tuple[str, Any]]:
    head = {"id": told.id, "object": "chat.completion.chunk", "created": told.created, "model": told.model}
    events: list[tuple[str, Any]] = []

    def chunk(delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        events.append(("", {**head, "choices": [choice], "usage": None}))

    chunk({"role": "assistant", "content": "", "refusal": None})
    number = 0
    for kind, said in told.parts:
        if kind == "text":
            for piece in said:
                chunk({"content": piece})
        elif kind == "thinking":
            for piece in said:
                chunk({"reasoning_content": piece})
            chunk({"reasoning_details": _details(said)})
        elif kind == "refusal":
            chunk({"refusal": said})
        else:
            chunk({"tool_calls": [{"index": number, **_call(said[0], said[1], "")}]})
            for piece in said[2]:
                chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
            number += 1
    chunk({}, _finish(told))
    return [*events, ("", {**head, "choices": [], "usage": _usage(told)}), ("", "[DONE]")]


ERROR = {"error": {"message": "No such thing.", "type": "invalid_request_error", "param": "tools", "code": "no_thing"}}
ERROR_EVENT = ("", {"error": {"message": "It broke", "type": "server_error", "code": None, "param": None}})


def error(status: int, code: str, type: str, message: str, param: str | None, details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details, "type": type, "param": param}}


def error_event(message: str) -> tuple[str, Any]:
    return "", error(502, "UPSTREAM_ERROR", "server_error", message, None, None)
