"""The cases as OpenAI Responses (platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from typing import Any

from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told


def request(case: str, stream: bool, model: str) -> dict[str, Any]:
    content: Any = cases.QUESTION
    if case == "image":
        url = f"data:image/png;base64,{cases.IMAGE}"
        content = [
            {"type": "input_text", "text": cases.QUESTION},
            {"type": "input_image", "image_url": url, "detail": "auto"},
        ]
    items: list[Any] = [{"type": "message", "role": "user", "content": content}]
    body: dict[str, Any] = {"model": model, "input": items, "store": False}
    if case == "system":
        body["instructions"] = cases.SYSTEM
    elif case == "turns":
        said = [{"type": "output_text", "text": cases.EARLIER[1], "annotations": []}]
        items.insert(0, {"type": "message", "role": "user", "content": cases.EARLIER[0]})
        items.insert(1, {"type": "message", "role": "assistant", "content": said})
    elif case in ("tool", "parallel", "result"):
        body["tools"] = [
            {
                "type": "function",
                "name": cases.TOOL[0],
                "description": cases.TOOL[1],
                "parameters": cases.SCHEMA,
                "strict": False,
            }
        ]
    elif case == "schema":
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": cases.SCHEMA, "strict": True}}
    elif case == "thinking":
        body |= {"reasoning": {"effort": cases.EFFORT}, "include": ["reasoning.encrypted_content"]}
    elif case == "max_tokens":
        body["max_output_tokens"] = 50
    if case == "result":
        for id, name, text in cases.CALLS:
            items.append({"type": "function_call", "call_id": id, "name": name, "arguments": text})
        for (id, _, _), result in zip(cases.CALLS, cases.RESULTS, strict=True):
            items.append({"type": "function_call_output", "call_id": id, "output": result})
    return body | ({"stream": True} if stream else {})


_ECHO: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "frequency_penalty": 0,
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
    "service_tier": "default",
    "store": False,
}


def _id(told: Told) -> str:
    return told.id if told.id != cases.REQUEST_ID else f"resp_{told.id}"


def _status(told: Told) -> tuple[str, Any]:
    if told.finish == "length":
        return "incomplete", {"reason": "max_output_tokens"}
    if told.finish in ("filter", "refusal") and not any(kind == "refusal" for kind, _ in told.parts):
        return "incomplete", {"reason": "content_filter"}
    return "completed", None


def _envelope(told: Told, request: dict[str, Any], status: str, why: Any, output: Any, usage: Any) -> dict[str, Any]:
    echo = {name: request.get(name, value) for name, value in _ECHO.items()}
    echo["reasoning"] = _ECHO["reasoning"] | echo["reasoning"]
    if told.id == cases.VENDORS["openai_responses"].id:
        echo["service_tier"] = "auto"  # tells nothing that others would have to say
    echo["tools"] = [{"description": None, "strict": None} | tool for tool in echo["tools"]]
    return {
        "id": _id(told),
        "object": "response",
        "created_at": told.created,
        "model": told.model,
        "completed_at": cases.NOW if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": why,
        "output": output,
        "usage": usage,
        **echo,
    }


def _usage(told: Told) -> dict[str, Any]:
    usage = told.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _items(told: Told) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    stem = cases.REQUEST_ID
    for index, (kind, said) in enumerate(told.parts):
        if kind == "thinking":
            summary = [{"type": "summary_text", "text": "".join(said)}]
            item = {"id": f"rs_{stem}_{index}", "type": "reasoning", "summary": summary}
            item["encrypted_content"] = cases.SIGNATURE
        elif kind == "call":
            item = {
                "id": f"fc_{stem}_{index}",
                "type": "function_call",
                "status": "completed",
                "arguments": "".join(said[2]),
                "call_id": said[0],
                "name": said[1],
            }
        else:
            part = {"type": "refusal", "refusal": said}
            if kind == "text":
                part = {"type": "output_text", "text": "".join(said), "annotations": [], "logprobs": []}
            item = {"id": f"msg_{stem}_{index}", "type": "message", "status": _status(told)[0]}
            item |= {"role": "assistant", "content": [part]}
        output.append(item)
    return output


def answer(told: Told, request: dict[str, Any]) -> dict[str, Any]:
    status, why = _status(told)
    return _envelope(told, request, status, why, _items(told), _usage(told))


def stream(told: Told, request: dict[str, Any], translated: bool) -> list[tuple[str, Any]]:
    events: list[dict[str, Any]] = []

    def event(type: str, **more: Any) -> None:
        events.append({"type": f"response.{type}", "sequence_number": len(events), **more})

    begun = _envelope(told, request, "in_progress", None, [], None)
    event("created", response=begun)
    event("in_progress", response=begun)
    for index, ((kind, said), item) in enumerate(zip(told.parts, _items(told), strict=True)):
        place: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        if kind == "call":
            empty = item | {"status": "in_progress", "arguments": ""}
            event("output_item.added", output_index=index, item=empty)
            for piece in said[2]:
                event("function_call_arguments.delta", **place, delta=piece)
            event("function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"])
        elif kind == "thinking":
            bare = {"id": item["id"], "type": "reasoning", "summary": []}
            event("output_item.added", output_index=index, item=bare)
            place["summary_index"] = 0
            event("reasoning_summary_part.added", **place, part={"type": "summary_text", "text": ""})
            for piece in said:
                event("reasoning_summary_text.delta", **place, delta=piece)
            event("reasoning_summary_text.done", **place, text="".join(said))
            event("reasoning_summary_part.done", **place, part=item["summary"][0])
        else:
            empty = item | {"status": "in_progress", "content": []}
            event("output_item.added", output_index=index, item=empty)
            place["content_index"] = 0
            (part,) = item["content"]
            if kind == "text":
                event("content_part.added", **place, part=part | {"text": ""})
                for piece in said:
                    event("output_text.delta", **place, delta=piece, logprobs=[])
                event("output_text.done", **place, text="".join(said), logprobs=[])
            else:
                event("content_part.added", **place, part={"type": "refusal", "refusal": ""})
                event("refusal.delta", **place, delta=said)
                event("refusal.done", **place, refusal=said)
            event("content_part.done", **place, part=part)
        event("output_item.done", output_index=index, item=item)
    event(_status(told)[0], response=answer(told, request))
    return [(each["type"], each) for each in events]


ERROR = {"error": {"message": "No such thing.", "type": "invalid_request_error", "param": "tools", "code": "no_thing"}}
ERROR_EVENT = (
    "error",
    {"type": "error", "sequence_number": 9, "code": "server_error", "message": "It broke", "param": None},
)


def error(status: int, code: str, type: str, message: str, param: str | None, details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details, "type": type, "param": param}}


def error_event(message: str) -> tuple[str, Any]:
    nested = error(502, "UPSTREAM_ERROR", "server_error", message, None, None)
    flat = {"code": "UPSTREAM_ERROR", "message": message, "param": None}
    return "error", {"type": "error", "sequence_number": 0, **flat, **nested}
