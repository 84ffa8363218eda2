"""The cases as Bedrock Converse (docs.aws.amazon.com/bedrock/latest/APIReference), which only vendors speak."""

from __future__ import annotations

import json
from typing import Any

from llmedge.dialects.bedrock.eventstream import encode
from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told

FINISH = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool": "tool_use",
    "filter": "content_filtered",
}


def request(case: str, stream: bool, model: str) -> dict[str, Any]:
    content: list[Any] = [{"text": cases.QUESTION}]
    if case == "image":
        content.append({"image": {"format": "png", "source": {"bytes": cases.IMAGE}}})
    messages: list[Any] = [{"role": "user", "content": content}]
    body: dict[str, Any] = {"messages": messages}
    if case == "system":
        body["system"] = [{"text": cases.SYSTEM}]
    elif case == "turns":
        said = zip(("user", "assistant"), cases.EARLIER, strict=True)
        messages[:0] = [{"role": role, "content": [{"text": text}]} for role, text in said]
    elif case in ("tool", "parallel", "result"):
        spec = {"name": cases.TOOL[0], "description": cases.TOOL[1], "inputSchema": {"json": cases.SCHEMA}}
        body["toolConfig"] = {"tools": [{"toolSpec": spec}]}
    elif case == "schema":
        schema = {"schema": cases.dump(cases.SCHEMA), "name": "answer"}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    elif case == "thinking":
        body["additionalModelRequestFields"] = {"thinking": {"type": "adaptive"}}
        body["outputConfig"] = {"effort": cases.EFFORT}
    elif case == "stop":
        body["inferenceConfig"] = {"stopSequences": [cases.STOP]}
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    elif case == "max_tokens":
        body["inferenceConfig"] = {"maxTokens": 50}
    if case == "result":
        calls = [_call(id, name, json.loads(text)) for id, name, text in cases.CALLS]
        results = [
            {"toolResult": {"toolUseId": id, "content": [{"text": result}]}}
            for (id, _, _), result in zip(cases.CALLS, cases.RESULTS, strict=True)
        ]
        messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return body


def _call(id: str, name: str, input: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": id, "name": name, "input": input}}


def _usage(told: Told) -> dict[str, Any]:
    usage = told.usage
    return {
        "inputTokens": usage.input - usage.cached - usage.cache_write,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_write,
    }


def _stopped(told: Told) -> dict[str, Any]:
    said: dict[str, Any] = {"stopReason": FINISH[told.finish]}
    if told.stop_sequence:
        said["additionalModelResponseFields"] = {"stop_sequence": told.stop_sequence}
    return said


def answer(told: Told, request: dict[str, Any]) -> dict[str, Any]:
    content: list[Any] = []
    for kind, said in told.parts:
        if kind == "text":
            content.append({"text": "".join(said)})
        elif kind == "thinking":
            thought = {"text": "".join(said), "signature": cases.SIGNATURE}
            content.append({"reasoningContent": {"reasoningText": thought}})
        else:
            content.append(_call(said[0], said[1], json.loads("".join(said[2]))))
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, **_stopped(told), "usage": _usage(told), "metrics": {"latencyMs": 7}}


def stream(told: Told, request: dict[str, Any], translated: bool) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = [("messageStart", {"role": "assistant"})]
    for index, (kind, said) in enumerate(told.parts):
        deltas: list[dict[str, Any]]
        if kind == "text":
            deltas = [{"text": piece} for piece in said]
        elif kind == "thinking":
            deltas = [{"reasoningContent": {"text": piece}} for piece in said]
            deltas.append({"reasoningContent": {"signature": cases.SIGNATURE}})
        else:
            start = {"toolUse": {"toolUseId": said[0], "name": said[1]}}
            events.append(("contentBlockStart", {"contentBlockIndex": index, "start": start}))
            deltas = [{"toolUse": {"input": piece}} for piece in said[2]]
        events += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", {"contentBlockIndex": index}))
    events.append(("messageStop", _stopped(told)))
    return [*events, ("metadata", {"usage": _usage(told), "metrics": {"latencyMs": 7}})]


def frames(events: list[tuple[str, Any]]) -> bytes:
    """The binary event stream."""
    out = b""
    for name, payload in events:
        kind = "exception" if name.endswith("Exception") else "event"
        headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
        out += encode(headers, cases.dump(payload).encode())
    return out


ERROR = {"message": "No such thing.", "__type": "ValidationException"}
ERROR_EVENT = ("internalServerException", {"message": "It broke"})
