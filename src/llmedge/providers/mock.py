"""A vendor that is not there: deterministic answers, and failures on demand, to rehearse with.

Words stand for tokens: what it counts and where it cuts at ``max_tokens`` can be checked by eye.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec
from twisted.internet.task import deferLater

from llmedge.call import Call
from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream
from llmedge.dialects.dialect import (
    ClientDialect,
    CountingDialect,
    StreamReader,
    TranslatedReader,
    VendorError,
)
from llmedge.dialects.embedding_ir import EmbeddingDialect
from llmedge.dialects.registry import CHAT, DIALECTS
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import EdgeError, UpstreamCut, UpstreamMalformed, UpstreamTimeout, ValidationError
from llmedge.model import Answer, Event, EventKind, RawObject, Usage
from llmedge.operations import Operation
from llmedge.providers import mock_media
from llmedge.providers.failures import failure_for
from llmedge.providers.translation import no_way, response_context
from llmedge.providers.vendor import HttpVendor
from llmedge.record import Attempt, Record
from llmedge.streams import AwaitedStream, Batch, Reply

MAX_CHOICES = 128

_encode = msgspec.json.encode
_decode = msgspec.json.decode


@attrs.frozen
class MockSettings(Provider):
    """What only the dialect ``mock`` has."""

    latency: float = option(kinds.number(0, 3600), 0.0, "Seconds before the answer begins.")
    chunk_interval: float = option(kinds.number(0, 3600), 0.0, "Seconds between the events of a stream.")
    fault: str = option(kinds.choice("none", "status", "cut", "stall", "malformed"), "none", "The failure to rehearse.")
    fault_status: int = option(kinds.integer(400, 599), 503, "The status of the fault 'status'.")
    fault_after: int = option(kinds.integer(0, 10**6), 3, "Events of a stream before the fault.")
    fault_rate: float = option(kinds.number(0, 1), 1.0, "Share of calls that fail, spread evenly: 0.25 is each fourth.")


class Mock(HttpVendor):
    """Asked over no network, so that nothing can be wrong with its table."""

    settings = MockSettings

    def problems(self, settings: MockSettings) -> Iterator[tuple[str, str]]:
        return iter(())

    def provider(self, name: str, settings: MockSettings, client: Any, limits: Upstream, reactor: Any) -> MockProvider:
        return MockProvider(name, settings, limits, reactor)


class MockProvider:
    """Answers every model. Fails as its settings say: ``status``, ``cut``, ``stall`` or ``malformed``."""

    def __init__(self, name: str, settings: MockSettings, limits: Upstream, clock: Any) -> None:
        self.name = name
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._calls = 0

    def close(self) -> None: ...

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        fault = self._fault()
        attempt.connected = self._clock.seconds()
        await self.pause(self._settings.latency, call.record)
        attempt.first_byte = self._clock.seconds()
        if fault == "status":
            attempt.status = self._settings.fault_status
            raise failure_for(self.name, attempt.status, VendorError(message="this failure is a rehearsal"), None)
        attempt.status = 200
        if call.choices > MAX_CHOICES:
            raise ValidationError(f"The mock vendor gives at most {MAX_CHOICES} answers at once.", param="n")
        client = DIALECTS[call.dialect]
        if isinstance(client, ClientDialect):
            client.check(call.fields, counts=call.operation is Operation.COUNT_TOKENS)
        created = int(self._clock.seconds())
        if call.operation is not Operation.CHAT and call.operation is not Operation.TEXT:
            return await self._other(call, attempt, fault, created)
        if client.name in ("openai_chat", "openai_text"):
            script = Script(call, call.fields, attempt.target.model, created)
            reader: StreamReader | None = None
        else:  # it thinks in OpenAI's forms and is translated
            assert isinstance(client, ClientDialect)
            said = CHAT.render(call.said(), call.model, RenderContext({}, "drop"), stream=False)
            script = Script(call, msgspec.json.decode(said, type=dict[str, msgspec.Raw]), attempt.target.model, created)
            context = response_context(call, created)
            decoder = CHAT.decoder(choices=call.choices, max_event=1 << 24)
            reader = TranslatedReader(decoder, client.encoder(context), context.call_ids())
        if call.stream:
            return MockStream(self, script, fault, call.wants_usage, attempt, call.record, reader)
        if fault != "none":
            raise await self.failure(fault, call.record)
        body = _encode(script.whole())
        if reader is not None and isinstance(client, ClientDialect):
            body = client.render_answer(context.call_ids().answer(CHAT.parse_answer(body)), context)
        return Answer(body, script.usage)

    async def _other(self, call: Call, attempt: Attempt, fault: str, created: int) -> Reply:
        """What is no conversation."""
        if fault != "none":
            raise await self.failure(fault, call.record)
        if call.operation.passes_through:
            return await mock_media.answer(call, attempt, created)
        client, model = DIALECTS[call.dialect], attempt.target.model
        if isinstance(client, EmbeddingDialect):
            return mock_media.embeddings(call, client, model, created)
        if not isinstance(client, CountingDialect):
            raise no_way(self.name, call.operation)
        said = CHAT.render(call.said(), call.model, RenderContext({}, "drop"), stream=False)
        return Answer(client.render_count_answer(len(_words(_everything(_decode(said))))))

    def _fault(self) -> str:
        """The fault of this call: a rate of 0.25 fails each fourth, evenly, so that rehearsals repeat."""
        self._calls += 1
        rate = self._settings.fault_rate
        fails = int(self._calls * rate + 1e-9) > int((self._calls - 1) * rate + 1e-9)
        return self._settings.fault if fails else "none"

    async def pause(self, seconds: float, record: Record) -> None:
        if seconds:
            with record.routing.wait(self._clock):
                await deferLater(self._clock, seconds)

    async def failure(self, fault: str, record: Record) -> EdgeError:
        """The error of ``fault``; a stall takes its time first."""
        if fault == "stall":
            patience = self._limits.idle_timeout
            await self.pause(patience, record)
            return UpstreamTimeout(f"did not go on with its answer within {patience:g} s", cause="stall").of(self.name)
        if fault == "malformed":
            return UpstreamMalformed("sent something that is not its protocol").of(self.name)
        return UpstreamCut("closed the connection before its answer was complete").of(self.name)


class Script:
    """What the mock says to one call, in OpenAI's forms."""

    def __init__(self, call: Call, fields: RawObject, model: str, created: int) -> None:
        self._chat = call.operation is Operation.CHAT
        self._model = model
        self._created = created
        request = {name: _decode(value) for name, value in fields.items()}
        digest = hashlib.sha256(_encode([model, request.get("messages", request.get("prompt"))])).hexdigest()
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-mock-{digest[:24]}"
        self.choices = call.choices
        prompt = _prompt(request)
        self._tool = _tool(request) if self._chat else None
        words = [] if self._tool else _words(f"This is a mock answer to: {prompt}")
        words, self._reason = _cut(words, request)
        self._words = words
        if self._tool:
            self._reason = "tool_calls"
            spoken = 1
        else:
            spoken = len(words)
        total_prompt = len(_words(_everything(request)))
        self.usage = Usage(input=total_prompt, output=spoken * self.choices)

    def whole(self) -> dict[str, Any]:
        choices: list[dict[str, Any]] = []
        for index in range(self.choices):
            choice: dict[str, Any] = {"index": index}
            if self._chat:
                message: dict[str, Any] = {"role": "assistant", "content": "".join(self._words), "refusal": None}
                if self._tool:
                    message |= {"content": None, "tool_calls": [self._tool]}
                choice["message"] = message
            else:
                choice["text"] = "".join(self._words)
            choices.append(choice | {"logprobs": None, "finish_reason": self._reason})
        return self._envelope("" if self._chat else None) | {"choices": choices, "usage": self._usage()}

    def chunks(self, with_usage: bool) -> list[dict[str, Any]]:
        """The stream: role, words, finish reason, and usage if it is wanted."""
        chunks: list[dict[str, Any]] = []

        def add(index: int, delta: dict[str, Any], text: str, reason: str | None = None) -> None:
            said = {"delta": delta} if self._chat else {"text": text}
            choice = {"index": index} | said | {"logprobs": None, "finish_reason": reason}
            chunks.append(self._envelope(".chunk" if self._chat else None) | {"choices": [choice]})

        for index in range(self.choices):
            if self._chat:
                add(index, {"role": "assistant", "content": None if self._tool else ""}, "")
            if self._tool:
                function = self._tool["function"]
                head = {**self._tool, "index": 0, "function": {"name": function["name"], "arguments": ""}}
                add(index, {"tool_calls": [head]}, "")
                for piece in re.findall(r".{1,8}", function["arguments"]):
                    add(index, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, "")
            for word in self._words:
                add(index, {"content": word}, word)
            add(index, {}, "", self._reason)
        if with_usage:
            last = self._envelope(".chunk" if self._chat else None)
            chunks.append(last | {"choices": [], "usage": self._usage()})
        return chunks

    def _envelope(self, suffix: str | None) -> dict[str, Any]:
        kind = "text_completion" if suffix is None else f"chat.completion{suffix}"
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.usage.input,
            "completion_tokens": self.usage.output,
            "total_tokens": self.usage.input + self.usage.output,
        }


class MockStream(AwaitedStream):
    """The script, one event at a time where an interval is set, else at once."""

    def __init__(
        self,
        provider: MockProvider,
        script: Script,
        fault: str,
        wants_usage: bool,
        attempt: Attempt,
        record: Record,
        reader: StreamReader | None,
    ) -> None:
        self._provider = provider
        self._attempt = attempt
        self._record = record
        self._fault = fault
        self._usage = script.usage
        self._events: list[Event] = []
        for chunk in script.chunks(wants_usage or reader is not None):
            empty = len(chunk["choices"]) == 1 and chunk["choices"][0].get("delta", {}).get("role") is not None
            kind = EventKind.LIFECYCLE if empty else EventKind.CONTENT
            self._events.append(Event(kind, b"data: " + _encode(chunk) + b"\n\n"))
        self._events.append(Event(EventKind.DONE, b"data: [DONE]\n\n"))
        if reader is not None:
            self._events = [event for frame in self._events for event in reader.feed(frame.frame)]
        self._given = 0
        self._complete = False

    @property
    def usage(self) -> Usage | None:
        return self._usage if self._complete else None

    async def next_batch(self) -> Batch:
        provider = self._provider
        interval = provider._settings.chunk_interval
        if self._given:
            await provider.pause(interval, self._record)
        end = self._given + 1 if interval else len(self._events)
        if self._fault != "none":
            end = min(end, provider._settings.fault_after)
            if self._given >= end:
                raise await provider.failure(self._fault, self._record)
        batch = self._events[self._given : end]
        self._given = end
        self._complete = end == len(self._events)
        if self._attempt.first_event is None and any(e.kind is not EventKind.LIFECYCLE for e in batch):
            self._attempt.first_event = provider._clock.seconds()
        return batch


def _text(content: Any) -> str:
    """The text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict)).strip()
    return ""


def _prompt(request: dict[str, Any]) -> str:
    messages = request.get("messages")
    if isinstance(messages, list):
        return next((_text(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    prompt = request.get("prompt")
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt or []))


def _everything(request: dict[str, Any]) -> str:
    messages = request.get("messages")
    if isinstance(messages, list):
        return " ".join(_text(message.get("content")) for message in messages)
    return _prompt(request)


def _words(text: str) -> list[str]:
    """Words with the space before them, so that joining gives the text back."""
    return re.findall(r"\s*\S+", text)


def _tool(request: dict[str, Any]) -> dict[str, Any] | None:
    """A call of the first tool offered, unless the client forbids it or has just given a tool's result."""
    tools = request.get("tools") or []
    messages = request.get("messages") or []
    if not tools or request.get("tool_choice") == "none" or (messages and messages[-1].get("role") == "tool"):
        return None
    function = _object(_object(tools[0]).get("function"))
    properties = _object(_object(function.get("parameters")).get("properties"))
    arguments = {name: _example(schema) for name, schema in properties.items()}
    return {
        "id": "call_mock_0",
        "type": "function",
        "function": {"name": str(function.get("name", "tool")), "arguments": _encode(arguments).decode()},
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _example(schema: Any) -> Any:
    schema = _object(schema)
    kind = schema.get("type")
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    return {"number": 1, "integer": 1, "boolean": True, "array": [], "object": {}}.get(str(kind), "mock")


def _cut(words: list[str], request: dict[str, Any]) -> tuple[list[str], str]:
    """Apply ``stop`` and ``max_tokens``; the words left and the finish reason."""
    stops = request.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = "".join(words)
        if stop and stop in text:
            words = _words(text[: text.index(stop)])
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit is not None and 0 <= limit < len(words):
        return words[:limit], "length"
    return words, "stop"
