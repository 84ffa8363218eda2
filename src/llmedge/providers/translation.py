"""How a call is put to a vendor and its answer brought back: as it is where both speak one dialect, else translated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from llmedge.call import Call
from llmedge.config.limits import LIMITS, Limits, of_model
from llmedge.config.model_quirks import model_quirks
from llmedge.dialects import ir
from llmedge.dialects.dialect import (
    ChatDialect,
    ClientDialect,
    CountingDialect,
    Dialect,
    ResponseContext,
    StreamReader,
    TranslatedReader,
    unstreamed,
)
from llmedge.dialects.embedding_ir import EmbeddingDialect
from llmedge.dialects.fitting.restore import Restored, restored
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from llmedge.dialects.surrogates import mend, mending
from llmedge.dialects.whole import events_of
from llmedge.errors import Unsupported, UpstreamMalformed
from llmedge.model import Answer, Event, Target, Usage
from llmedge.operations import Operation
from llmedge.record import DROPPED


class Translation(Protocol):
    """The way between a client's dialect and a vendor's. Stateless; everything here is CPU work only."""

    @property
    def vendor_dialect(self) -> Dialect:
        """What the vendor speaks."""

    def body(self, call: Call, target: Target, on_unsupported: str) -> bytes:
        """The body for the vendor. Notes what was left out in the call's record.

        :param on_unsupported: what becomes of what cannot be said; see
            :class:`~llmedge.dialects.rendering.RenderContext`.
        :raises Unsupported: the vendor's dialect cannot say a field, and it may not be left out.
        """

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        """The vendor's whole answer, for the client.

        :raises TargetError: it is malformed, or an error.
        """

    def reader(self, call: Call, target: Target, max_event: int, created: int) -> StreamReader:
        """A reader of the vendor's stream, writing events for the client."""

    def pieces(self, body: bytes, call: Call, target: Target, created: int) -> tuple[list[Event], Usage | None]:
        """The vendor's whole answer as the events of a stream for the client, and what it used.

        :raises TargetError: it is malformed, or an error.
        """


class PassThrough:
    """Both speak the same dialect."""

    def __init__(self, dialect: Dialect, stream_usage: bool, quirks: frozenset[str]) -> None:
        self.vendor_dialect = dialect
        self._stream_usage = stream_usage
        self._quirks = quirks

    def body(self, call: Call, target: Target, on_unsupported: str) -> bytes:
        if call.record.facts:
            call.record.facts.pop(DROPPED, None)  # of a target that was asked before
        body = self.vendor_dialect.forward(call.fields, target.model, stream=call.stream, ask_usage=self._stream_usage)
        return continued(body, self._quirks) if call.continues else body

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        read = self.vendor_dialect.read_answer
        try:
            return Answer(body, read(body))
        except UpstreamMalformed:
            return Answer(body, read(mend(body)))  # halves of characters are no reason to refuse it

    def reader(self, call: Call, target: Target, max_event: int, created: int) -> StreamReader:
        return self.vendor_dialect.reader(strip_usage=not call.wants_usage, choices=call.choices, max_event=max_event)

    def pieces(self, body: bytes, call: Call, target: Target, created: int) -> tuple[list[Event], Usage | None]:
        body = mend(body)
        usage = self.vendor_dialect.read_answer(body)
        in_one_line = msgspec.json.format(body, indent=-1)
        return self.vendor_dialect.pieces(in_one_line, response_context(call, created)), usage


class PassedEmbeddings(PassThrough):
    """Embeddings, which the client can ask for in a form that not every vendor knows."""

    def __init__(self, dialect: EmbeddingDialect, stream_usage: bool, quirks: frozenset[str]) -> None:
        super().__init__(dialect, stream_usage, quirks)
        self._as_asked = dialect.as_asked

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        usage = mending(self.vendor_dialect.read_answer, body)
        return Answer(self._as_asked(body, call.fields), usage)


C = TypeVar("C", bound=Dialect)
V = TypeVar("V", bound=Dialect)


class _Between(Generic[C, V]):
    """The way from the client's dialect to another of the vendor's."""

    def __init__(
        self,
        client: C,
        vendor_dialect: V,
        name: str,
        quirks: frozenset[str] = frozenset(),
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        self.vendor_dialect = vendor_dialect
        self._client = client
        self._name = name
        self._quirks = quirks
        self._limits = limits.get(vendor_dialect.name)

    def body(self, call: Call, target: Target, on_unsupported: str) -> bytes:
        name = f"the provider '{self._name}'"
        limits = None if self._limits is None else of_model(self._limits, target.model)
        context = RenderContext(self._client.field_names, on_unsupported, name, limits, target.capabilities)
        if self._client.name != self.vendor_dialect.name:
            for mark in call.marks.names:
                context.hint(mark)
        body = self._render(call, target.model, context)
        if context.dropped:
            call.record.facts[DROPPED] = context.dropped
        else:
            call.record.facts.pop(DROPPED, None)  # of a target that was asked before
        return body

    @abstractmethod
    def _render(self, call: Call, model: str, context: RenderContext) -> bytes: ...

    def reader(self, call: Call, target: Target, max_event: int, created: int) -> StreamReader:
        raise unstreamed()

    def pieces(self, body: bytes, call: Call, target: Target, created: int) -> tuple[list[Event], Usage | None]:
        raise unstreamed()


class Translated(_Between[ClientDialect, ChatDialect]):
    """A chat in one dialect put to a vendor in another."""

    def _render(self, call: Call, model: str, context: RenderContext) -> bytes:
        self._client.check(call.fields)
        quirks = self._quirks | model_quirks(model)
        said = call.said()
        body = self.vendor_dialect.render(said, model, context, stream=call.stream, quirks=quirks)
        return continued(body, self._quirks) if call.continues or _is_begun(said, quirks) else body

    def _restored(self, call: Call, target: Target) -> Restored | None:
        quirks = self._quirks | model_quirks(target.model) | self.vendor_dialect.needs
        assert self._limits is not None
        return restored(call.said(), self._limits, quirks, call.choices)

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        parsed = self._parsed(body)
        if (restore := self._restored(call, target)) is not None:
            parsed = restore.answer(parsed)
        context = response_context(call, created)
        return Answer(self._client.render_answer(context.call_ids().answer(parsed), context), parsed.usage)

    def _parsed(self, body: bytes) -> ir.Answer:
        parsed = mending(self.vendor_dialect.parse_answer, body)
        if not parsed.choices:
            raise UpstreamMalformed("answered without an answer in it")
        return parsed

    def reader(self, call: Call, target: Target, max_event: int, created: int) -> TranslatedReader:
        decoder = self.vendor_dialect.decoder(choices=call.choices, max_event=max_event)
        context = response_context(call, created)
        return TranslatedReader(
            decoder, self._client.encoder(context), context.call_ids(), self._restored(call, target)
        )

    def pieces(self, body: bytes, call: Call, target: Target, created: int) -> tuple[list[Event], Usage | None]:
        parsed = self._parsed(body)
        return self.reader(call, target, 0, created).encode(events_of(parsed)), parsed.usage


class TranslatedEmbeddings(_Between[EmbeddingDialect, EmbeddingDialect]):
    """Embeddings asked for in one dialect and made in another."""

    def _render(self, call: Call, model: str, context: RenderContext) -> bytes:
        return self.vendor_dialect.render(call.embedded(), model, context, self._quirks)

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        parsed = mending(self.vendor_dialect.parse_answer, body)
        return Answer(
            self._client.render_answer(parsed, call.embedded(), response_context(call, created)), parsed.usage
        )


class Counting(_Between[CountingDialect, CountingDialect]):
    """Tokens counted by the vendor, in the same dialect or another."""

    def _render(self, call: Call, model: str, context: RenderContext) -> bytes:
        if self._passes:
            return self.vendor_dialect.forward_count(call.fields, model)
        self._client.check(call.fields, counts=True)
        return self.vendor_dialect.render_count(call.said(), model, context, quirks=self._quirks | model_quirks(model))

    def answer(self, body: bytes, call: Call, target: Target, created: int) -> Answer:
        tokens = self.vendor_dialect.parse_count(body)
        return Answer(body if self._passes else self._client.render_count_answer(tokens))

    @property
    def _passes(self) -> bool:
        return self._client.name == self.vendor_dialect.name


def continued(body: bytes, quirks: frozenset[str]) -> bytes:
    """A body of OpenAI's form whose last message is the beginning of the answer, marked as the vendor wants it."""
    mark = next((mark for quirk, mark in _BEGUN.items() if quirk in quirks), "")
    if not mark and "prefill_continue" not in quirks:
        return body
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if "messages" not in fields:
        return body
    if mark:
        messages: list[Any] = msgspec.json.decode(fields["messages"], type=list[msgspec.Raw])
        messages[-1] = msgspec.json.decode(messages[-1], type=dict[str, msgspec.Raw]) | {mark: True}
        return msgspec.json.encode(fields | {"messages": messages})
    return msgspec.json.encode(fields | {"continue_final_message": True, "add_generation_prompt": False})


def _is_begun(request: ir.Request, quirks: frozenset[str]) -> bool:
    """Whether the client itself begins the answer, for a vendor that refuses such a conversation without its mark."""
    last = request.messages[-1] if request.messages and "no_assistant_last" in quirks else None
    if last is None or last.role != "assistant" or any(isinstance(part, ir.ToolCall) for part in last.parts):
        return False
    return any(not isinstance(part, ir.Thinking) for part in last.parts)


_BEGUN = {"prefill_prefix": "prefix", "prefill_partial": "partial"}


def response_context(call: Call, created: int) -> ResponseContext:
    """What the answer to ``call`` has to repeat."""
    tools = call.own_tools() if isinstance(DIALECTS[call.dialect], ChatDialect) else {}
    id, now = call.record.request_id, call.deadline.clock.seconds
    return ResponseContext(call.model, id, created, call.wants_usage, call.fields, tools, now, call.remember)


def translation_for(
    client: Dialect,
    vendor_dialects: Iterable[Dialect],
    *,
    quirks: frozenset[str],
    stream_usage: bool,
    name: str,
    limits: Mapping[str, Limits] = LIMITS,
) -> Translation | None:
    """The best way from ``client`` to a vendor of ``vendor_dialects``, the preferred first; ``None`` for none."""
    dialects = list(vendor_dialects)
    fit = client.name != "openai_responses" or "bare_responses" not in quirks
    if fit and any(dialect.name == client.name for dialect in dialects):
        if isinstance(client, EmbeddingDialect):
            return PassedEmbeddings(client, stream_usage, quirks)
        return PassThrough(client, stream_usage, quirks)
    for dialect in dialects:
        if isinstance(client, ClientDialect) and isinstance(dialect, ChatDialect):
            flags = quirks if stream_usage else quirks | {"no_stream_options"}
            return Translated(client, dialect, name, flags, limits)
        if isinstance(client, EmbeddingDialect) and isinstance(dialect, EmbeddingDialect):
            return TranslatedEmbeddings(client, dialect, name, quirks)
    return None


def count_translation_for(
    client: Dialect,
    counting: Iterable[Dialect],
    name: str,
    quirks: frozenset[str] = frozenset(),
    limits: Mapping[str, Limits] = LIMITS,
) -> Translation | None:
    """The way to have a vendor count tokens that does so in the dialects ``counting``."""
    able = [dialect for dialect in counting if isinstance(dialect, CountingDialect)]
    if not isinstance(client, CountingDialect) or not able:
        return None
    vendor_dialect = next((dialect for dialect in able if dialect.name == client.name), able[0])
    return Counting(client, vendor_dialect, name, quirks, limits)


def no_way(provider: str, operation: Operation) -> Unsupported:
    """The refusal of a call that a vendor has no way to serve."""
    what = operation.value.replace("_", " ")
    said = f"The provider '{provider}' cannot serve this kind of request ({what})."
    if operation.passes_through:
        said += f" If its server can, say at which path: paths.{operation.value} of [providers.{provider}]."
    return Unsupported(said, param="model")
