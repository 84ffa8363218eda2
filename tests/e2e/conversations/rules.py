"""What each vendor's API demands of a request in a tool conversation, beyond what a mock minds.

Sources: OpenAI's chat and Responses references, Anthropic's pages on tool use and thinking, Google's page on function
calling; each states these as errors 400.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.conversations.pictures import objects

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
EMPTY = ("", " ", "\n")
Faults = Iterator[str]


def faults(dialect: str, body: dict[str, Any]) -> list[str]:
    """What the vendor of this dialect would refuse the request for."""
    found = list(RULES[dialect](body))
    found += [f"a mark of another dialect: {name}" for name in FOREIGN[dialect] if _has(body, name)]
    return found


def _has(body: dict[str, Any], name: str) -> bool:
    said = {key: value for key, value in body.items() if key not in ("tools", "toolConfig")}
    arguments = ("input", "args", "arguments", "response")  # what models and tools say is no one's dialect
    return any(name in each for each in objects(_without(said, arguments)) if isinstance(each, dict))


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, names) for key, each in value.items() if key not in names or isinstance(each, list)}
    return [_without(each, names) for each in value] if isinstance(value, list) else value


FOREIGN = {
    "chat": ("cache_control", "thinking", "context_management", "input_schema", "functionCall", "client_metadata"),
    "responses": ("cache_control", "thinking", "context_management", "input_schema", "functionCall", "tool_calls"),
    "anthropic": ("tool_calls", "reasoning_content", "functionCall", "client_metadata", "call_id", "detail"),
    "gemini": ("cache_control", "tool_calls", "reasoning_content", "input_schema", "call_id", "metadata"),
}
"""Fields that this vendor does not know, some for each of the others."""


def _tools(tools: list[tuple[str, Any]], allowed: re.Pattern[str]) -> Faults:
    names = [name for name, _ in tools]
    if len(set(names)) != len(names):
        yield f"two tools have one name: {names}"
    for name, schema in tools:
        if not allowed.fullmatch(name):
            yield f"tool name {name!r}"
        if schema is not None and schema.get("type") != "object":
            yield f"parameters of {name} are no object: {schema}"


def chat(body: dict[str, Any]) -> Faults:
    open_calls: list[str] = []
    known: set[str] = set()
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                yield f"a result without its call directly before: {message['tool_call_id']}"
            else:
                open_calls.remove(message["tool_call_id"])
            if any(part["type"] != "text" for part in message["content"] if isinstance(part, dict)):
                yield "a tool message holds more than text"
            continue
        if open_calls:
            yield f"{role} message before the results of {open_calls}"
        if role not in ("system", "developer", "user", "assistant"):
            yield f"role {role}"
        if role == "assistant" and not (message.get("content") or message.get("tool_calls")):
            yield "an assistant message that says nothing"
        for call in message.get("tool_calls") or ():
            if call["id"] in known:
                yield f"call id {call['id']} twice"
            known.add(call["id"])
            open_calls.append(call["id"])
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                yield f"arguments {call['function']['arguments']!r}"
    if open_calls:
        yield f"no results for {open_calls}"
    functions = [tool["function"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    yield from _tools([(each["name"], each.get("parameters")) for each in functions], NAME)
    yield from _openai(body)


def _openai(body: dict[str, Any]) -> Faults:
    if not body.get("tools") and {"tools", "tool_choice", "parallel_tool_calls"} & body.keys():
        yield "a choice among no tools"
    if any(len(body.get(name) or "") > 64 for name in ("user", "safety_identifier", "prompt_cache_key")):
        yield "an id of more than 64 characters"


def responses(body: dict[str, Any]) -> Faults:
    calls: set[str] = set()
    answered: set[str] = set()
    for item in body["input"]:
        match item.get("type", "message"):
            case "function_call":
                if item["call_id"] in calls:
                    yield f"call id {item['call_id']} twice"
                calls.add(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in calls:
                    yield f"an output without its call: {item['call_id']}"
                answered.add(item["call_id"])
            case "message":
                kind = "output_text" if item["role"] == "assistant" else "input_text"
                content = item["content"] if isinstance(item["content"], list) else []
                if any("text" in part and part["type"] != kind for part in content):
                    yield f"{item['role']} says something other than {kind}"
            case "reasoning":
                if not item.get("encrypted_content") or item.get("content"):
                    yield "a thought of nobody's"
            case other:
                yield f"item of type {other}"
    if calls != answered:
        yield f"calls without outputs: {calls - answered}"
    functions = [tool for tool in body.get("tools", ()) if tool["type"] == "function"]
    yield from _tools([(tool["name"], tool.get("parameters")) for tool in functions], NAME)
    yield from _openai(body)


def anthropic(body: dict[str, Any]) -> Faults:
    wanted: list[str] = []
    known: set[str] = set()
    thinks = body.get("thinking", {}).get("type") not in (None, "disabled")
    for message in body["messages"]:
        content = message["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if message["role"] not in ("user", "assistant"):
            yield f"role {message['role']}"
        if wanted:
            results = [block.get("tool_use_id") for block in blocks[: len(wanted)]]
            if message["role"] != "user" or sorted(map(str, results)) != sorted(wanted):
                yield f"after the calls {wanted} come {results}"
        wanted = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if known & set(wanted):
            yield f"call ids twice: {known & set(wanted)}"
        known |= set(wanted)
        for block in objects(blocks):
            if block.get("type") == "text" and block["text"] in EMPTY:
                yield "an empty text block"
            if block.get("type") == "thinking" and not block.get("signature"):
                yield "a thought without signature"
    if wanted:
        yield f"no results for {wanted}"
    last = next((message for message in reversed(body["messages"]) if message["role"] == "assistant"), None)
    if thinks and last and isinstance(last["content"], list) and body["messages"][-1] is not last:
        kinds = [block["type"] for block in last["content"]]
        results_follow = any(
            block["type"] == "tool_result" for block in objects(body["messages"][-1]) if "type" in block
        )
        if "tool_use" in kinds and results_follow and kinds[0] not in ("thinking", "redacted_thinking"):
            yield "thinking is on, and the turn with the call begins without a thought"
    functions = [tool for tool in body.get("tools", ()) if "input_schema" in tool]
    yield from _tools([(tool["name"], tool["input_schema"]) for tool in functions], re.compile(r"[a-zA-Z0-9_-]{1,128}"))
    if body.get("metadata", {}).keys() - {"user_id"}:
        yield f"metadata {body['metadata']}"


def gemini(body: dict[str, Any]) -> Faults:
    calls: list[str] = []
    for content in body["contents"]:
        parts = content["parts"]
        if content.get("role") not in ("user", "model"):
            yield f"role {content.get('role')}"
        if not parts or any(part.get("text") == "" and len(part) == 1 for part in parts):
            yield "an empty part, or none"
        answers = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if sorted(answers) != sorted(calls):
            yield f"after the calls {calls} come the responses {answers}"
        calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    if calls:
        yield f"no responses for {calls}"
    declared = [each for tool in body.get("tools", ()) for each in tool.get("functionDeclarations", ())]
    yield from _tools(
        [(each["name"], each.get("parametersJsonSchema")) for each in declared],
        GEMINI_NAME,
    )


RULES: dict[str, Callable[[dict[str, Any]], Faults]] = {
    "chat": chat,
    "responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
}
