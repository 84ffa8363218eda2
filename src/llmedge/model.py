"""The nouns every layer shares: Caller, Call, Target, Usage, Reply, Record, TraceContext."""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from fnmatch import translate
from typing import Any, Protocol, TypeVar

import attrs
import msgspec

from llmedge.errors import EdgeError

T = TypeVar("T")

RawObject = Mapping[str, Any]
"""A JSON object whose values are the bytes received (``msgspec.Raw``): what nobody touches is sent on as it came."""


class Clock(Protocol):
    """Where time comes from; the reactor in production, ``twisted.internet.task.Clock`` in tests."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> Any: ...


class InThread(Protocol):
    """Where work goes that would hold up the reactor; tests do it at once."""

    def __call__(self, work: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class UploadBody(Protocol):
    """A body on its way to one vendor.

    :ivar length: its bytes, ``None`` if nobody knows yet.
    :ivar whole: all of it is here and stays: it can be sent as often as need be.
    """

    length: int | None
    whole: bool

    @property
    def again(self) -> bool:
        """It can, so far, be had from its beginning once more."""

    async def read(self) -> bytes:
        """The next piece; ``b""`` at the end.

        :raises EdgeError: the client did not send what it should have.
        """

    def rewind(self) -> None:
        """Back to the beginning; only where ``again``."""


class Upload(Protocol):
    """A multipart body that is not held in memory.

    :ivar content_type: with its boundary.
    """

    content_type: str

    @property
    def spent(self) -> bool:
        """A part of it is on its way and is not held any more: nobody else can be asked."""

    def open(self, model: str) -> UploadBody:
        """The body with ``model`` as its model.

        :raises ValidationError: the name does not fit into it.
        """


@attrs.frozen
class Caller:
    """Who asks. Never holds a key.

    :ivar name: the key's alias, ``"anonymous"`` where no key was needed.
    :ivar models: patterns of the models this caller may ask for; ``("*",)`` for all.
    :ivar rpm: requests a minute of the caller's own bucket, ``None`` for the global limit only.
    :ivar burst: capacity of that bucket.
    :ivar scopes: what this caller may do: ``"inference"`` is to ask for models.
    :ivar may_use: whether ``models`` allow a model; compiled once.
    """

    name: str
    models: tuple[str, ...] = ("*",)
    rpm: int | None = None
    burst: int | None = None
    scopes: frozenset[str] = frozenset({"inference"})
    may_use: Callable[[str], bool] = attrs.field(init=False, eq=False, repr=False)

    @may_use.default
    def _compile(self) -> Callable[[str], bool]:
        if "*" in self.models:
            return lambda model: True
        match = re.compile("|".join(map(translate, self.models)) or r"(?!)").match
        return lambda model: match(model) is not None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer, the same for every vendor.

    :ivar input: all that was read; ``cached`` (read from the vendor's cache), ``cache_write`` (written to it) and
        ``audio_input`` are parts of it, ``cache_write_1h`` is the part of ``cache_write`` kept for an hour.
    :ivar output: all that was written; ``reasoning`` and ``audio_output`` are parts of it.
    :ivar estimated: the vendor reported none; these were counted here.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    estimated: bool = False


@attrs.frozen
class Target:
    """One place a call can go.

    :ivar drop: what it cannot say of a request is left out; ``None``: as its provider does.
    """

    provider: str
    model: str
    drop: bool | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@attrs.frozen
class TraceContext:
    """The trace a request belongs to (W3C Trace Context). Ids are lower-case hex.

    :ivar span_id: of our own span of the request; ``parent_id`` is the client's, ``""`` where it sent none.
    :ivar flags: 1 when the trace is sampled.
    :ivar capture: what was said may be exported with it.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: int = 0
    tracestate: str = ""
    capture: bool = False

    def new_span_id(self) -> str:
        """The id of one more span in this trace."""
        return secrets.token_hex(8)

    def headers(self, span_id: str) -> bytes:
        """The header lines that put a request of ours under the span ``span_id``."""
        state = f"tracestate: {self.tracestate}\r\n" if self.tracestate else ""
        return f"traceparent: 00-{self.trace_id}-{span_id}-{self.flags:02x}\r\n{state}".encode()


class Attempt(msgspec.Struct):
    """One try at one target. Times are the clock's seconds, ``None`` for what did not happen.

    :ivar kind: why it was made: ``first``, ``next`` (a target before it failed), ``retry``, ``fallback``, ``hedge``,
        ``splice``, ``continue``, ``shadow``.
    :ivar cause: the row of the table in ``pipeline/verdicts.py``, where it failed.
    :ivar queued: seconds it waited for its turn.
    :ivar skipped_events: malformed events of its stream that were left out. ``said``: events of it that were read.
    :ivar cost: what its usage costs; the record's is that of all attempts together.
    :ivar content_type: of an answer that is passed on as it is; ``content_length`` too, where the vendor told it.
    """

    target: Target
    started: float
    connected: float | None = None
    first_byte: float | None = None
    first_event: float | None = None
    ended: float | None = None
    status: int | None = None
    reused: bool = False
    outcome: str = ""
    error: str = ""
    upstream_request_id: str = ""
    span_id: str = ""
    kind: str = "first"
    cause: str = ""
    queued: float = 0.0
    skipped_events: int = 0
    said: int = 0
    usage: Usage | None = None
    cost: Decimal | None = None
    content_type: str = ""
    content_length: int | None = None

    def end(self, now: float, outcome: str, error: str = "") -> None:
        """Note how it ended; the first time counts."""
        if self.ended is None:
            self.ended, self.outcome, self.error = now, outcome, error


@attrs.frozen
class Passed:
    """A target that was not asked, and why. ``at`` is in the clock's seconds."""

    target: str
    why: str
    at: float = 0.0


@attrs.frozen(eq=False)
class Fact:
    """Something that a stage may say of a call, declared in one place: the access log, the server's span, the answer's
    headers, the metrics and the docs follow. A declared fact is in :data:`FACTS`; said, it is in ``Record.facts``.

    :ivar name: in the access log.
    :ivar doc: for docs/operations.rst.
    :ivar attribute: of the span.
    :ivar header: of the answer.
    :ivar metric: a counter of its values, and the label that has them; ``values`` bounds it, another value counts as
        ``other``.
    """

    name: str
    doc: str
    attribute: str = ""
    header: str = ""
    metric: tuple[str, str] | None = None
    values: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        FACTS.append(self)


FACTS: list[Fact] = []
"""All that are declared, in the order of their stages."""

FALLBACK = Fact(
    "fallback",
    "the model through which the target that answered was found",
    "llmedge.fallback",
    "x-llmedge-fallback",
)
DROPPED = Fact(
    "dropped",
    "the fields that the target could not be told and the configuration lets go",
    "llmedge.dropped",
    "x-llmedge-dropped",
)
REFUSED_BY = Fact(
    "refused_by",
    "whose rate limit refused the request",
    "llmedge.refused_by",
    metric=("llm_rate_limited_total", "scope"),
    values=("global", "key"),
)


class Record(msgspec.Struct):
    """What happened to one request. The one source of the access log, the metrics and the response headers.

    :ivar route: the path's template (bounded), not the path.
    :ivar model: what the client asked for; ``model_label`` is the bounded form for metrics.
    :ivar cost: USD of the answer at list price; ``None`` where the price is not known, or nothing was used.
    :ivar outcome: ``ok``, ``error``, ``client_closed``, or what broke the stream (``cut``, ``timeout`` ...).
    :ivar passed_over: targets that were not asked, and why.
    :ivar answered_by: the attempt whose answer the client got.
    :ivar facts: what the stages said of the call besides: texts, lists of texts, numbers and booleans.
    :ivar paused: seconds waited before retries, and for Retry-After.
    :ivar trace: ``None`` where nothing is traced.
    :ivar asked: what was said to the vendor, as OpenTelemetry writes it; only where the trace captures it.
        ``answered`` is its answer.
    :ivar waited: seconds spent waiting for vendors; total less this is our overhead. Where two are waited for at once
        (``waiting`` counts them) the time counts once.
    """

    request_id: str
    method: str
    route: str
    peer: str
    received: float
    operation: str = ""
    caller: str = ""
    model: str = ""
    model_label: str = "other"
    stream: bool = False
    message_count: int | None = None
    first_event: float | None = None
    ended: float | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    passed_over: list[Passed] = msgspec.field(default_factory=list)
    answered_by: Attempt | None = None
    paused: float = 0.0
    usage: Usage | None = None
    facts: dict[Fact, Any] = {}
    cost: Decimal | None = None
    status: int = 0
    error_code: str = ""
    error_message: str = ""
    outcome: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    waited: float = 0.0
    waiting: int = 0
    waiting_since: float = 0.0
    trace: TraceContext | None = None
    asked: bytes = b""
    answered: bytes = b""

    @property
    def cost_estimated(self) -> bool:
        """Whether ``cost`` comes from tokens that were estimated here."""
        return self.cost is not None and self.usage is not None and self.usage.estimated

    @property
    def by(self) -> Attempt | None:
        """The attempt that answered; if none did, the last one."""
        return self.answered_by or (self.attempts[-1] if self.attempts else None)

    def begin_wait(self, now: float) -> None:
        """Something outside is waited for. Each has its :meth:`end_wait`."""
        if not self.waiting:
            self.waiting_since = now
        self.waiting += 1

    def end_wait(self, now: float) -> None:
        """It came, or is not waited for any more."""
        self.waiting -= 1
        if not self.waiting:
            self.waited += now - self.waiting_since

    def fail(self, error: EdgeError, outcome: str = "error") -> None:
        """Note the error the client is given; the first one stands."""
        if not self.error_code:
            self.error_code = error.code
            self.error_message = error.message
        if not self.outcome:
            self.outcome = outcome


class Deadline:
    """The time one call has, over all its attempts."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock: Any = clock
        self.seconds = seconds
        self.at = clock.seconds() + seconds

    def left(self) -> float:
        """Seconds left, never below zero."""
        left: float = self.at - self.clock.seconds()
        return max(0.0, left)


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, in the client's dialect."""

    body: bytes
    usage: Usage | None = None


class EventKind(enum.Enum):
    """What an event of a stream means to the gateway."""

    LIFECYCLE = enum.auto()
    """Says nothing the client could use yet (a role, an empty delta): held back until content comes."""
    CONTENT = enum.auto()
    DONE = enum.auto()
    """The terminal event: the only way a stream ends well."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream, or several of a kind.

    :ivar frame: the whole SSE frame in the client's dialect, blank line included; ``count`` frames one after another.
    """

    kind: EventKind
    frame: bytes
    count: int = 1
