"""What every dialect can do, for a client who speaks it and for a vendor who does. Pure: no reactor, no socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import attrs
import msgspec

from llmedge.config.limits import LIMITS
from llmedge.dialects import ir
from llmedge.dialects.call_ids import CallIds
from llmedge.dialects.fitting.fit import fit
from llmedge.dialects.fitting.restore import Restored
from llmedge.dialects.rendering import Carries, RenderContext, view
from llmedge.dialects.sse import FramedReader
from llmedge.dialects.whole import events_of
from llmedge.errors import EdgeError, Unsupported
from llmedge.model import Event, RawObject, Usage
from llmedge.operations import Operation

_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True):
    """A client's request, checked. ``choices`` is how many answers it asks for."""

    fields: RawObject
    model: str
    stream: bool
    wants_usage: bool
    choices: int
    message_count: int | None


@attrs.frozen
class VendorError:
    """A vendor's error object; texts are empty where it gave none.

    :ivar more: its other fields.
    """

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    more: Mapping[str, Any] = attrs.Factory(dict)


@attrs.frozen
class ResponseContext:
    """What an answer in the client's dialect has to repeat where the vendor does not say it.

    :ivar model: the model's name, ``id`` and ``created`` (seconds since the epoch) stand in for what is missing.
    :ivar wants_usage: the client asked for usage in the stream.
    :ivar fields: the request's fields as received, for a dialect whose answers repeat them.
    :ivar tools: those that the client knows otherwise than as functions, by name.
    :ivar remember: keeps an item of the answer under its id, for who refers to it; ``None``: nobody will.
    :ivar now: tells the time, in seconds since the epoch, where an answer's end has to be told.
    """

    model: str
    id: str = "0"
    created: int = 0
    wants_usage: bool = False
    fields: RawObject = attrs.Factory(dict)
    tools: Mapping[str, ir.Tool] = attrs.Factory(dict)
    now: Callable[[], float] | None = None
    remember: Callable[[str, bytes], None] | None = None

    def call_ids(self) -> CallIds:
        """Ids for the calls of the answer."""
        return CallIds(f"{self.id} {self.created}")


def unstreamed() -> Unsupported:
    """The refusal of a stream where there is none."""
    return Unsupported("This kind of request is not answered by a stream.", param="stream")


class StreamReader(Protocol):
    """Reads one vendor's stream: bytes in, events for the client out."""

    @property
    def usage(self) -> Usage | None: ...

    @property
    def cut(self) -> bool:
        """The answer was ended before its vendor's: that need not go on."""
        return False

    @property
    def complete(self) -> bool:
        """Nothing is owed but the terminal event."""

    @property
    def broken(self) -> EdgeError | None:
        """The error that comes after the events given so far."""

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by ``data``, maybe none. The last one is DONE when the stream is over.

        :raises EdgeError: what comes next is broken; good events before it are given first.
        """

    def end(self) -> list[Event]:
        """The vendor's body has ended as HTTP has it: the events still owed, DONE last.

        :raises UpstreamCut: the answer was not complete.
        """


class Encoder(Protocol):
    """Writes one stream in a client's dialect."""

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        """The frames for ``events``, maybe none; the last one is DONE when the stream is over."""


class TranslatedReader:
    """A vendor's stream in one dialect as a client's in another, event by event."""

    def __init__(
        self,
        decoder: FramedReader[ir.StreamEvent],
        encoder: Encoder,
        ids: CallIds,
        restored: Restored | None = None,
    ) -> None:
        self.usage: Usage | None = None
        self._decoder = decoder
        self._encoder = encoder
        self._ids = ids
        self._restored = restored

    @property
    def cut(self) -> bool:
        """The answer was ended before its vendor's: that need not go on."""
        return self._restored is not None and self._restored.cut

    @property
    def complete(self) -> bool:
        """See :class:`StreamReader`."""
        return self._decoder.complete

    @property
    def broken(self) -> EdgeError | None:
        return self._decoder.broken

    def feed(self, data: bytes) -> list[Event]:
        """See :class:`StreamReader`."""
        return self.encode(self._decoder.feed(data))

    def end(self) -> list[Event]:
        """See :class:`StreamReader`."""
        return self.encode(self._decoder.end())

    def encode(self, events: list[ir.StreamEvent]) -> list[Event]:
        """Events of the vendor's, for the client."""
        for place, event in enumerate(events):
            if isinstance(event, ir.Open):
                events[place] = self._ids.opened(event)
            elif isinstance(event, ir.Counted):
                self.usage = event.usage
        if self._restored is not None:
            events = self._restored.events(events)
        return self._encoder.encode(events) if events else []


class Dialect(ABC):
    """One wire format. Stateless.

    :cvar name: as the catalogue of vendors has it.
    :cvar heartbeat: the frame that keeps a silent stream alive.
    :cvar comments: a comment in a stream is seen by who looks for it, and by no SDK.
    :cvar stream_type: media type of a vendor's stream.
    :cvar headers: sent to a vendor with each request, unless the client sends its own.
    :cvar field_names: this dialect's names of the IR's fields, where they differ.
    :cvar prompt: the fields that hold what is said to the model, the conversation last.
    :cvar limits: the fields that bound the tokens of the answer, whole numbers all.
    """

    name: ClassVar[str]
    operation: ClassVar[Operation]
    heartbeat: ClassVar[bytes] = b": ping\n\n"
    comments: ClassVar[bool] = True
    stream_type: ClassVar[bytes] = b"text/event-stream"
    headers: ClassVar[Mapping[str, str]] = {}
    field_names: ClassVar[Mapping[str, str]] = {}
    prompt: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[str, ...]] = ()

    # For a client who speaks it

    @abstractmethod
    def parse_request(self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False) -> Request:
        """One level of a client's body, checked.

        :param model: from the URL, and ``stream`` too, in dialects that have them there.
        :raises ValidationError: the body is not a request of this operation.
        """

    @abstractmethod
    def error_body(self, error: EdgeError) -> bytes:
        """An error as a JSON body."""

    @abstractmethod
    def error_frame(self, error: EdgeError) -> bytes:
        """An error as an event of a stream that has begun. SDKs raise on it."""

    def asked_output(self, fields: RawObject) -> int | None:
        """The tokens that an answer may have, as its client says; ``None`` if it does not, or in a form that only some
        servers take. Of two numbers the larger: servers differ in which one they heed."""
        most = None
        for name in self.limits:
            if name in fields:
                raw = bytes(fields[name])
                if raw.isdigit() and len(raw) < 16:
                    asked = int(raw)
                    most = asked if most is None or most < asked else most
                elif raw != b"null":
                    return None
        return most

    def with_output(self, fields: RawObject, most: int) -> RawObject:
        """The same request for an answer of ``most`` tokens at most."""
        told = [name for name in self.limits if bytes(fields.get(name, b"null")) != b"null"]
        return {**fields, **dict.fromkeys(told or self.limits[:1], msgspec.Raw(b"%d" % most))}

    # For a vendor who speaks it too: bodies pass through

    def forward(self, fields: RawObject, model: str, *, stream: bool, ask_usage: bool) -> bytes:
        """The body for a vendor of the same dialect: as it came, but for the model and what asks for usage."""
        return _encode({**fields, "model": model})

    @abstractmethod
    def read_answer(self, body: bytes) -> Usage | None:
        """The usage of a whole answer that is passed on as it is.

        :raises UpstreamMalformed: it is not an answer of this operation.
        :raises VendorFailed: it is an error object behind a status of 200.
        """

    @abstractmethod
    def parse_error(self, body: bytes) -> VendorError:
        """The error object in ``body``; empty if there is none. Never raises."""

    def reader(self, *, strip_usage: bool, choices: int, max_event: int) -> StreamReader:
        """A reader of one stream that is passed on as it is.

        :raises Unsupported: there is no such stream.
        """
        raise unstreamed()

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        """A whole answer that is passed on as the events of a stream, since its vendor does not stream.

        :raises UpstreamMalformed: it is none. :raises VendorFailed: it is an error.
        :raises Unsupported: there is no such stream.
        """
        raise unstreamed()


class ClientDialect(Dialect):
    """A dialect in which a client can ask any chat model."""

    def check(self, fields: RawObject, *, counts: bool = False) -> None:
        """Hold a client's request against what the API documents, before it is read by :meth:`parse`.

        :param counts: its tokens are to be counted only.
        :raises ValidationError: a field is missing or mistyped.
        """

    @abstractmethod
    def parse(self, fields: RawObject) -> ir.Request:
        """A client's request in the intermediate representation. What has no place there goes into ``extra``.

        :raises ValidationError: a field is mistyped.
        """

    @abstractmethod
    def render_answer(self, answer: ir.Answer, context: ResponseContext) -> bytes:
        """A whole answer for a client."""

    @abstractmethod
    def encoder(self, context: ResponseContext) -> Encoder:
        """A writer of one stream for a client."""


class ChatDialect(ClientDialect):
    """A dialect of chats, which can be translated into any other.

    :cvar carries: leaves of messages, parts and tools that it has words for.
    :cvar needs: quirks that all vendors have who speak it.
    """

    operation = Operation.CHAT
    carries: ClassVar[Carries]
    needs: ClassVar[frozenset[str]] = frozenset()

    def pieces(self, body: bytes, context: ResponseContext) -> list[Event]:
        return self.encoder(context).encode(events_of(self.parse_answer(body)))

    def render(
        self,
        request: ir.Request,
        model: str,
        context: RenderContext,
        *,
        stream: bool,
        quirks: frozenset[str] = frozenset(),
    ) -> bytes:
        """The body for a vendor.

        :param quirks: of the vendor; see ``config/catalogue.py``.
        :raises Unsupported: a field cannot be said, and ``context`` does not let it be left out.
        """
        request, seen, quirks = self._fitted(request, context, quirks)
        body = self._render(seen, model, context, stream=stream, quirks=quirks)
        self._rest(seen, request, context)
        return body

    def _fitted(
        self, request: ir.Request, context: RenderContext, quirks: frozenset[str]
    ) -> tuple[ir.Request, ir.Request, frozenset[str]]:
        """The request as the vendor takes it, a view of it, and all quirks."""
        quirks |= self.needs
        if context.limits is None:
            context.limits = LIMITS[self.name]
        request = fit(request, context, quirks)
        return request, view(request), quirks

    def _rest(self, seen: ir.Request, request: ir.Request, context: RenderContext) -> None:
        """What was not said."""
        context.foreign(seen.hints, seen.extra, seen.lost)
        context.rest(seen, self.carries.lacking(request))

    @abstractmethod
    def _render(
        self, request: ir.Request, model: str, context: RenderContext, *, stream: bool, quirks: frozenset[str]
    ) -> bytes:
        """The body for a vendor. What it does not read of ``request`` is refused.

        :raises Unsupported: a field cannot be said.
        """

    @abstractmethod
    def parse_answer(self, body: bytes) -> ir.Answer:
        """A vendor's whole answer.

        :raises UpstreamMalformed: it is not one.
        :raises VendorFailed: it is an error object behind a status of 200.
        """

    @abstractmethod
    def decoder(self, *, choices: int, max_event: int) -> FramedReader[ir.StreamEvent]:
        """A reader of one vendor's stream into the IR."""


class CountingDialect(ChatDialect):
    """A dialect in which tokens can be counted without an answer."""

    @abstractmethod
    def parse_count_request(
        self, raw: bytes, max_depth: int = 100, *, model: str = "", stream: bool = False
    ) -> Request:
        """A client's body; see :meth:`parse_request`."""

    @abstractmethod
    def forward_count(self, fields: RawObject, model: str) -> bytes:
        """The body for a vendor of the same dialect; see :meth:`forward`."""

    def render_count(
        self, request: ir.Request, model: str, context: RenderContext, *, quirks: frozenset[str] = frozenset()
    ) -> bytes:
        """The body that has a vendor count the tokens of a request; see :meth:`render`."""
        request, seen, quirks = self._fitted(request, context, quirks)
        body = self._render_count(seen, model, context, quirks)
        self._rest(seen, request, context)
        return body

    @abstractmethod
    def _render_count(self, request: ir.Request, model: str, context: RenderContext, quirks: frozenset[str]) -> bytes:
        """The same; what it does not read is refused."""

    @abstractmethod
    def parse_count(self, body: bytes) -> int:
        """A vendor's count of tokens.

        :raises UpstreamMalformed: it is none.
        :raises VendorFailed: it is an error object behind a status of 200.
        """

    @abstractmethod
    def render_count_answer(self, tokens: int) -> bytes:
        """A count for a client."""
