"""What happened to one request: its Record, which every layer writes into and the observers read once, at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import msgspec

from llmedge.errors import EdgeError
from llmedge.model import NOBODY, Account, Clock, Target, Usage


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


class PassedTrace(TraceContext):
    """The trace of a client where we have no spans of our own: the vendor's hang under the client's."""

    def new_span_id(self) -> str:
        return self.parent_id


class Attempt(msgspec.Struct):
    """One try at one target. Times are the clock's seconds, ``None`` for what did not happen.

    :ivar kind: why it was made: ``first``, ``next`` (a target before it failed), ``retry``, ``fallback``, ``hedge``,
        ``splice``, ``continue``, ``shadow``.
    :ivar cause: the row of the table in ``pipeline/verdicts.py``, where it failed.
    :ivar queued: seconds it waited for its turn; ``queued_for``: the limit that had it wait, in words.
    :ivar said: bytes of text that were read of it, about, where it did not end well or did not tell its usage.
    :ivar usage: what it used, told or estimated; ``None`` where it did no work, or nobody can tell how much.
    :ivar cost: what that costs, in picos (:mod:`llmedge.money`); ``None`` where it costs nothing or ``unpriced``.
    :ivar unpriced: it may be billed, and nobody knows for how much.
    :ivar rate: requests a second that its target takes, where it said that it has none left for now.
    :ivar shown: headers of the vendor's that the client is shown.
    :ivar tier: the service tier that the head of its answer tells.
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
    said: int = 0
    usage: Usage | None = None
    cost: int | None = None
    unpriced: bool = False
    content_type: str = ""
    content_length: int | None = None
    rate: float | None = None
    queued_for: str = ""
    shown: Mapping[bytes, str] | None = None
    tier: str = ""

    def end(self, now: float, outcome: str, error: str = "") -> None:
        """Note how it ended; the first time counts."""
        if self.ended is None:
            self.ended, self.outcome, self.error = now, outcome, error


@attrs.frozen
class Skipped:
    """A target that was not asked, and why. ``at`` is in the clock's seconds; ``queued``: seconds it was waited for."""

    target: str
    why: str
    at: float = 0.0
    queued: float = 0.0


@attrs.frozen(eq=False)
class Fact:
    """Something that a stage may say of a call, declared in one place: the access log, the server's span, the answer's
    headers, the metrics and the docs follow. A declared fact is in :data:`FACTS`; said, it is in ``Record.facts``.

    :ivar name: in the access log; ``""``: it is not there, and its value is whole lines of the answer's head.
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
        if self.name:
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
ESTIMATED = Fact(
    "estimated",
    "what of the answer was estimated here, because the vendor does not tell it: ``tokens`` that were to be counted",
    "llmedge.estimated",
    "x-llmedge-estimated",
)
TIER = Fact("tier", "the service tier that the answer is billed in, where it is not the usual one", "llmedge.tier")
AUDIO_SECONDS = Fact("audio_seconds", "seconds of sound that were read", "llmedge.audio_seconds")
CHARACTERS = Fact("characters", "characters of a text that was spoken", "llmedge.characters")
IMAGES = Fact("images", "pictures that were made", "llmedge.images")
COST_UNKNOWN = Fact(
    "cost_unknown",
    "``true``: ``cost_usd`` is not all of it, since something has no known price",
    "llmedge.cost_unknown",
)
PROMPT_CACHE_SAVED = Fact(
    "prompt_cache_saved_usd",
    "what the vendor's prompt cache saved of the answer's price, less what writing to it cost",
    "llmedge.prompt_cache_saved_usd",
)
PROMPT_AFFINITY = Fact(
    "prompt_affinity",
    "whether the target had the prompt's beginning: ``kept``, ``new`` (nobody had it), ``moved`` (others had)",
    "llmedge.prompt_affinity",
    metric=("llm_prompt_affinity_total", "result"),
    values=("kept", "new", "moved"),
)
REFUSED_BY = Fact(
    "refused_by",
    "whose rate limit refused the request",
    "llmedge.refused_by",
    metric=("llm_rate_limited_total", "scope"),
    values=("global", "key", "project", "team", "user", "organization"),
)

CACHE = Fact(
    "cache",
    "what the cache did: ``HIT``, ``SEMANTIC``, ``STALE``, ``COLLAPSED``, ``MISS``, ``REFRESH`` or ``BYPASS``",
    "llmedge.cache",
)
CACHE_LEVEL = Fact(
    "cache_level",
    "where the cache had the answer",
    "llmedge.cache_level",
    metric=("llm_cache_hit_total", "level"),
    values=("memory", "redis", "semantic", "flight", "items"),
)
CACHE_SAVED = Fact("saved_usd", "what the answer would have cost without the cache", "llmedge.saved_usd")
CACHE_HEADERS = Fact("", "lines of the answer's head that say what the cache did")
CACHE_LIKENESS = Fact(
    "cache_likeness",
    "how much a question is like the one that the cache had the answer of: a cosine, 1 for the same",
    "llmedge.cache_likeness",
)
CACHE_RULE = Fact("cache_rule", "why they were taken for the same: ``strict`` or ``verified``", "llmedge.cache_rule")


USER = Fact("user", "the end user whom the client names, with ``log.fields``", "user.id")
TAGS = Fact("tags", "what ``x-llmedge-tags`` says, with ``log.fields``", "llmedge.tags")
METADATA = Fact("metadata", "what ``metadata`` of the body says, with ``log.fields``")
HEADERS = Fact("headers", "headers of the request, those of ``log.headers``")


class Routing(msgspec.Struct):
    """How a call was routed.

    :ivar skipped: targets that were not asked, and why.
    :ivar answered_by: the attempt whose answer the client got.
    :ivar paused: seconds waited before retries, and for Retry-After.
    :ivar waited: seconds spent waiting for vendors; total less this is our overhead. Where two are waited for at once
        (``waiting`` counts them) the time counts once.
    :ivar joined: of another call, whose answer is waited for.
    :ivar raced: two vendors may be waited for at once.
    """

    attempts: list[Attempt] = []
    skipped: list[Skipped] = []
    answered_by: Attempt | None = None
    paused: float = 0.0
    waited: float = 0.0
    raced: bool = False
    waiting: int = 0
    waiting_since: float = 0.0
    joined: Routing | None = None

    @property
    def deciding_attempt(self) -> Attempt | None:
        """The attempt that answered; if none did, the last one."""
        return self.answered_by or (self.attempts[-1] if self.attempts else None)

    @property
    def asking(self) -> bool:
        """Whether a vendor is asked at the moment; not while there is a wait for a place, or before a retry."""
        if self.joined is not None:
            return self.joined.asking
        return any(attempt.ended is None for attempt in self.attempts)

    @contextmanager
    def wait(self, clock: Clock) -> Iterator[None]:
        """Something outside is waited for."""
        self.begin_wait(clock.seconds())
        try:
            yield
        finally:
            self.end_wait(clock.seconds())

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


class Accounting(msgspec.Struct):
    """What a call used, and what that costs.

    :ivar usage: of the answer the client got; where it got none, of the last attempt that was put to work.
    :ivar cost: the sum of its attempts' costs, in picos (:mod:`llmedge.money`); ``None`` where none has one.
    :ivar unpriced: of an attempt, at least, nobody knows the price: ``cost`` is not all of it.
    :ivar kept: the cache had the answer, or another call did.
    :ivar spared: what an answer from the cache used when it was asked for; ``saved``: what that would cost, in picos.
    """

    usage: Usage | None = None
    cost: int | None = None
    unpriced: bool = False
    kept: bool = False
    spared: Usage | None = None
    saved: int | None = None

    @property
    def estimated(self) -> bool:
        """Whether ``cost`` comes from tokens that were estimated here."""
        return self.cost is not None and self.usage is not None and self.usage.estimated

    @property
    def known_cost(self) -> int | None:
        """``cost``, where it is all that the call costs."""
        return None if self.unpriced else self.cost


class Content(msgspec.Struct):
    """What was said, as JSON that OpenTelemetry's conventions describe; only where the trace captures it."""

    prompt: bytes = b""
    answer: bytes = b""


class Record(msgspec.Struct):
    """What happened to one request. The one source of the access log, the metrics and the response headers.

    :ivar route: the path's template (bounded), not the path.
    :ivar model: what the client asked for; ``model_label`` is the bounded form for metrics.
    :ivar account: whose it is, once the caller is known.
    :ivar end_user: whom the client names, where that is written down.
    :ivar outcome: ``ok``, ``error``, ``client_closed``, or what broke the stream (``cut``, ``timeout`` ...).
    :ivar uid: of its row in the ledger, where that had to be known before its end.
    :ivar taken: of its caller's limits, to be brought back when it has ended.
    :ivar tokens_level: how near its caller was to the limit of tokens a minute, where it has one.
    :ivar facts: what the stages said of the call besides: texts, lists of texts, numbers and booleans; tables of these,
        which are in the log alone.
    :ivar trace: ``None`` where nothing is traced.
    """

    request_id: str
    method: str
    route: str
    peer: str
    received: float
    operation: str = ""
    caller: str = ""
    account: Account = NOBODY
    end_user: str = ""
    model: str = ""
    model_label: str = "other"
    stream: bool = False
    message_count: int | None = None
    first_event: float | None = None
    ended: float | None = None
    status: int = 0
    error_code: str = ""
    error_message: str = ""
    outcome: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    trace: TraceContext | None = None
    uid: str = ""
    taken: Any = None
    tokens_level: Any = None
    facts: dict[Fact, Any] = {}
    routing: Routing = msgspec.field(default_factory=Routing)
    accounting: Accounting = msgspec.field(default_factory=Accounting)
    content: Content | None = None

    def fail(self, error: EdgeError, outcome: str = "error") -> None:
        """Note the error the client is given; the first one stands."""
        if not self.error_code:
            self.error_code = error.code
            self.error_message = error.message
        if not self.outcome:
            self.outcome = outcome
