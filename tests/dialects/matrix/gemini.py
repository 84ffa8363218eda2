"""The cases as Gemini's generateContent (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import json
from typing import Any

from tests.dialects.matrix import cases
from tests.dialects.matrix.cases import Told

FINISH = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "tool": "STOP",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}


def request(case: str, stream: bool, model: str) -> dict[str, Any]:
    parts: list[Any] = [{"text": cases.QUESTION}]
    if case == "image":
        parts.append({"inlineData": {"mimeType": "image/png", "data": cases.IMAGE}})
    contents: list[Any] = [{"role": "user", "parts": parts}]
    body: dict[str, Any] = {"contents": contents}
    if case == "system":
        body["systemInstruction"] = {"parts": [{"text": cases.SYSTEM}]}
    elif case == "turns":
        contents[:0] = [
            {"role": role, "parts": [{"text": text}]}
            for role, text in zip(("user", "model"), cases.EARLIER, strict=True)
        ]
    elif case in ("tool", "parallel", "result"):
        function = {"name": cases.TOOL[0], "description": cases.TOOL[1], "parametersJsonSchema": cases.SCHEMA}
        body["tools"] = [{"functionDeclarations": [function]}]
    elif case == "schema":
        config = {"responseMimeType": "application/json", "responseJsonSchema": cases.SCHEMA}
        body["generationConfig"] = config
    elif case == "thinking":
        body["generationConfig"] = {"thinkingConfig": {"thinkingLevel": cases.EFFORT.upper()}}
    elif case == "stop":
        body["generationConfig"] = {"stopSequences": [cases.STOP]}
    elif case == "max_tokens":
        body["generationConfig"] = {"maxOutputTokens": 50}
    if case == "result":
        calls = [_call(id, name, json.loads(text)) for id, name, text in cases.CALLS]
        results = [
            {"functionResponse": {"id": id, "name": name, "response": {"output": result}}}
            for (id, name, _), result in zip(cases.CALLS, cases.RESULTS, strict=True)
        ]
        contents += [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    return body


def _call(id: str, name: str, args: Any) -> dict[str, Any]:
    return {"functionCall": {"id": id, "name": name, "args": args}}


def _usage(told: Told) -> dict[str, Any]:
    usage = told.usage
    said = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "cachedContentTokenCount": usage.cached,
    }
    return said | ({"thoughtsTokenCount": usage.reasoning} if usage.reasoning else {})


def _head(told: Told) -> dict[str, Any]:
    time = {cases.CREATED: cases.CREATED_TIME, cases.NOW: "2027-01-15T08:00:00Z"}[told.created]
    return {"modelVersion": told.model, "responseId": told.id, "createTime": time}


def answer(told: Told, request: dict[str, Any]) -> dict[str, Any]:
    parts: list[Any] = []
    for kind, said in told.parts:
        if kind in ("text", "refusal"):
            parts.append({"text": "".join(said)})
        elif kind == "thinking":
            parts.append({"text": "".join(said), "thought": True, "thoughtSignature": cases.SIGNATURE})
        else:
            parts.append(_call(said[0], said[1], json.loads("".join(said[2]))))
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, "finishReason": FINISH[told.finish]}
    return {"candidates": [candidate], "usageMetadata": _usage(told), **_head(told)}


def stream(told: Told, request: dict[str, Any], translated: bool) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []

    def part(said: dict[str, Any], **more: Any) -> None:
        candidate = {"content": {"parts": [said], "role": "model"}, "index": 0, **more}
        events.append(("", {"candidates": [candidate], **_head(told)}))

    for kind, said in told.parts:
        if kind == "text":
            for piece in said:
                part({"text": piece})
        elif kind == "refusal":
            part({"text": said})
        elif kind == "thinking":
            for piece in said:
                part({"text": piece, "thought": True})
            part({"text": "", "thought": True, "thoughtSignature": cases.SIGNATURE})
        else:
            part(_call(said[0], said[1], json.loads("".join(said[2]))))
    part({"text": ""}, finishReason=FINISH[told.finish])
    events[-1][1]["usageMetadata"] = _usage(told)
    return events


ERROR = {"error": {"code": 400, "message": "No such thing.", "status": "INVALID_ARGUMENT"}}
ERROR_EVENT = ("", {"error": {"code": 500, "message": "It broke", "status": "INTERNAL"}})


def error(status: int, code: str, type: str, message: str, param: str | None, details: Any) -> dict[str, Any]:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code,
        "domain": "llmedge",
        "metadata": {"param": param} if param else {},
    }
    name = {400: "INVALID_ARGUMENT", 502: "UNAVAILABLE"}[status]
    return {"error": {"code": status, "message": message, "status": name, "details": [info]}}


def error_event(message: str) -> tuple[str, Any]:
    return "", error(502, "UPSTREAM_ERROR", "", message, None, None)
