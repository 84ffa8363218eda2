"""One question in each client dialect, and what its answer says, whole or streamed, in one form to compare."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import attrs

from tests.e2e.client import Client
from tests.fakes import request

TOOL = {"name": "get_weather", "description": "the weather"}


@attrs.frozen
class Said:
    """An answer.

    :ivar calls: (name, arguments as they were sent); ``stop``: in the dialect's own words.
    :ivar usage: tokens of the whole input, of it from the cache, of the output; ``None`` for none.
    :ivar error: of a whole answer or an event, ``clean``: the message ended as HTTP has it.
    """

    status: int
    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    stop: str | None = None
    usage: tuple[int, int, int] | None = None
    error: dict[str, Any] | None = None
    clean: bool = True


@attrs.define
class _Told:
    """What is collected of a stream."""

    text: str = ""
    calls: dict[Any, list[str]] = attrs.field(factory=dict)
    stop: str | None = None
    usage: tuple[int, int, int] | None = None
    error: dict[str, Any] | None = None
    terminal: bool = False


class Asker(ABC):
    """A client of one dialect. Everything that comes must be of the dialect: whatever is unknown raises."""

    name: str
    stops: dict[str, str]
    """``stop``, ``tool`` and ``length`` in this dialect's words."""

    @abstractmethod
    def path(self, model: str, stream: bool) -> str: ...

    @abstractmethod
    def body(
        self, model: str, content: str, *, stream: bool, limit: int, stop: str | None, schema: Any
    ) -> dict[str, Any]: ...

    @abstractmethod
    def whole(self, document: Any) -> _Told: ...

    @abstractmethod
    def event(self, event: Any, told: _Told) -> None: ...

    async def ask(
        self,
        port: int,
        model: str,
        content: str,
        *,
        stream: bool,
        limit: int = 200,
        stop: str | None = None,
        schema: Any = None,
        key: str = "",
    ) -> Said:
        """Ask and hear the answer out."""
        body = self.body(model, content, stream=stream, limit=limit, stop=stop, schema=schema)
        client = await Client.connect(port)
        headers = {"x-api-key": key} if key else {}
        client.send(request(path=self.path(model, stream), body=body, headers=headers))
        response = await client.response()
        client.leave()
        if not stream or response.status != 200:
            document = response.json()
            if response.status != 200:
                return Said(response.status, error=document)
            return self._said(self.whole(document), response.complete)
        told = _Told()
        for block in response.body.decode().replace("\r\n", "\n").split("\n\n"):
            for line in block.split("\n"):
                if line.startswith("data: "):
                    assert not told.terminal, f"after the end: {line}"
                    self._data(line.removeprefix("data: "), told)
                else:
                    assert not line or line.startswith(("event: ", ":")), line
        return self._said(told, response.complete and (told.terminal or self.name == "gemini"))

    def _data(self, data: str, told: _Told) -> None:
        self.event(json.loads(data), told)

    def _said(self, told: _Told, clean: bool) -> Said:
        calls = tuple((name, "".join(pieces)) for name, *pieces in told.calls.values())
        return Said(200, told.text, calls, told.stop, told.usage, told.error, clean)


class Chat(Asker):
    name = "chat"
    stops = {"stop": "stop", "tool": "tool_calls", "length": "length"}

    def path(self, model: str, stream: bool) -> str:
        return "/v1/chat/completions"

    def body(
        self, model: str, content: str, *, stream: bool, limit: int, stop: str | None, schema: Any
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": limit,
            "temperature": 0,
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if stop:
            body["stop"] = [stop]
        if schema:
            body["tools"] = [{"type": "function", "function": {**TOOL, "parameters": schema}}]
        return body

    def whole(self, document: Any) -> _Told:
        (choice,) = document["choices"]
        message = choice["message"]
        told = _Told(message["content"] or "", stop=choice["finish_reason"], usage=self._usage(document["usage"]))
        for call in message.get("tool_calls") or ():
            told.calls[call["id"]] = [call["function"]["name"], call["function"]["arguments"]]
        return told

    def event(self, event: Any, told: _Told) -> None:
        if "error" in event:
            told.error = event
            return
        if event.get("usage"):
            told.usage = self._usage(event["usage"])
        for choice in event["choices"]:
            told.text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                if "id" in call:
                    assert call["index"] not in told.calls, call
                    told.calls[call["index"]] = [call["function"]["name"]]
                told.calls[call["index"]].append(call["function"].get("arguments") or "")
            told.stop = choice["finish_reason"] or told.stop

    def _data(self, data: str, told: _Told) -> None:
        if data == "[DONE]":
            told.terminal = True
        else:
            super()._data(data, told)

    def _usage(self, usage: Any) -> tuple[int, int, int]:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return usage["prompt_tokens"], cached, usage["completion_tokens"]


class Responses(Asker):
    name = "responses"
    stops = {"stop": "completed", "tool": "completed", "length": "incomplete: max_output_tokens"}

    def path(self, model: str, stream: bool) -> str:
        return "/v1/responses"

    def body(
        self, model: str, content: str, *, stream: bool, limit: int, stop: str | None, schema: Any
    ) -> dict[str, Any]:
        assert stop is None, "Responses has no stop sequences"
        body: dict[str, Any] = {"model": model, "input": content, "max_output_tokens": limit, "temperature": 0}
        if schema:
            body["tools"] = [{"type": "function", **TOOL, "parameters": schema, "strict": False}]
        return body | {"stream": True} if stream else body

    def whole(self, document: Any) -> _Told:
        reason = (document.get("incomplete_details") or {}).get("reason")
        told = _Told(stop=f"{document['status']}: {reason}" if reason else document["status"])
        for item in document["output"]:
            if item["type"] == "function_call":
                told.calls[item["call_id"]] = [item["name"], item["arguments"]]
            else:
                told.text += "".join(part["text"] for part in item["content"])
        usage = document["usage"]
        cached = (usage.get("input_tokens_details") or {}).get("cached_tokens", 0)
        told.usage = (usage["input_tokens"], cached, usage["output_tokens"])
        return told

    def event(self, event: Any, told: _Told) -> None:
        kind = event["type"]
        if kind == "error":
            told.error = event
        elif kind == "response.output_text.delta":
            told.text += event["delta"]
        elif kind == "response.output_item.added" and event["item"]["type"] == "function_call":
            told.calls[event["output_index"]] = [event["item"]["name"], event["item"]["arguments"]]
        elif kind == "response.function_call_arguments.delta":
            told.calls[event["output_index"]].append(event["delta"])
        elif kind in ("response.completed", "response.incomplete"):
            full = self.whole(event["response"])
            assert (full.text, [[n, "".join(a)] for n, *a in full.calls.values()]) == (
                told.text,
                [[n, "".join(a)] for n, *a in told.calls.values()],
            ), "the deltas say something else than the end"
            told.stop, told.usage, told.terminal = full.stop, full.usage, True
        else:
            assert kind != "response.failed", event
            assert kind.startswith("response."), event


class Anthropic(Asker):
    name = "anthropic"
    stops = {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}

    def path(self, model: str, stream: bool) -> str:
        return "/v1/messages"

    def body(
        self, model: str, content: str, *, stream: bool, limit: int, stop: str | None, schema: Any
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": limit,
            "temperature": 0,
        }
        if stop:
            body["stop_sequences"] = [stop]
        if schema:
            body["tools"] = [{**TOOL, "input_schema": schema}]
        return body | {"stream": True} if stream else body

    def whole(self, document: Any) -> _Told:
        told = _Told(stop=document["stop_reason"], usage=self._usage(document["usage"]))
        for block in document["content"]:
            if block["type"] == "tool_use":
                told.calls[block["id"]] = [block["name"], json.dumps(block["input"])]
            else:
                told.text += block["text"]
        return told

    def event(self, event: Any, told: _Told) -> None:
        kind = event["type"]
        if kind == "error":
            told.error = event
        elif kind == "message_start":
            told.usage = self._usage(event["message"]["usage"])
        elif kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            assert event["content_block"]["input"] == {}, event
            told.calls[event["index"]] = [event["content_block"]["name"]]
        elif kind == "content_block_delta":
            if event["delta"]["type"] == "text_delta":
                told.text += event["delta"]["text"]
            else:
                told.calls[event["index"]].append(event["delta"]["partial_json"])
        elif kind == "message_delta":
            told.stop = event["delta"]["stop_reason"]
            before, usage = told.usage or (0, 0, 0), event["usage"]
            after = self._usage({"input_tokens": before[0] - before[1], "cache_read_input_tokens": before[1]} | usage)
            told.usage = after
        else:
            assert kind in ("content_block_start", "content_block_stop", "message_stop", "ping"), event
            told.terminal = kind == "message_stop"

    def _usage(self, usage: Any) -> tuple[int, int, int]:
        cached = usage.get("cache_read_input_tokens") or 0
        return usage["input_tokens"] + cached, cached, usage["output_tokens"]


class Gemini(Asker):
    name = "gemini"
    stops = {"stop": "STOP", "tool": "STOP", "length": "MAX_TOKENS"}

    def path(self, model: str, stream: bool) -> str:
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")

    def body(
        self, model: str, content: str, *, stream: bool, limit: int, stop: str | None, schema: Any
    ) -> dict[str, Any]:
        config: dict[str, Any] = {"maxOutputTokens": limit, "temperature": 0}
        if stop:
            config["stopSequences"] = [stop]
        body = {"contents": [{"role": "user", "parts": [{"text": content}]}], "generationConfig": config}
        if schema:
            body["tools"] = [{"functionDeclarations": [{**TOOL, "parametersJsonSchema": schema}]}]
        return body

    def whole(self, document: Any) -> _Told:
        told = _Told()
        self.event(document, told)
        return told

    def event(self, event: Any, told: _Told) -> None:
        if "error" in event:
            told.error = event
            return
        (candidate,) = event["candidates"]
        for part in candidate.get("content", {}).get("parts", ()):
            told.text += part.get("text", "")
            if "functionCall" in part:
                call = part["functionCall"]
                told.calls[len(told.calls)] = [call["name"], json.dumps(call.get("args", {}))]
        told.stop = candidate.get("finishReason", told.stop)
        if usage := event.get("usageMetadata"):
            cached = usage.get("cachedContentTokenCount", 0)
            told.usage = (usage["promptTokenCount"], cached, usage.get("candidatesTokenCount", 0))


ASKERS: tuple[Asker, ...] = (Chat(), Responses(), Anthropic(), Gemini())


def code_of(asker: Asker, error: Any) -> str:
    """The code of ours in an error of the asker's dialect; the shape is checked."""
    if asker.name == "gemini":
        assert set(error) == {"error"}, error
        assert {"code", "status", "message"} <= set(error["error"]), error
        reasons = [detail["reason"] for detail in error["error"]["details"] if "reason" in detail]
        return str(reasons[0])
    if asker.name == "anthropic":
        assert error["type"] == "error", error
        assert {"type", "message"} <= set(error["error"]), error
    assert error["error"]["message"], error
    return str(error["error"]["code"])
