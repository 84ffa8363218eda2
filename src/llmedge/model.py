"""The nouns every layer shares: Caller, Call, Target, Usage, Reply, Record, TraceContext."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import translate
from typing import Any, NamedTuple, Protocol, TypeVar

import attrs
import msgspec

from llmedge.config.capabilities import Capabilities
from llmedge.config.sections.budgets import Budget
from llmedge.config.sections.cache import CacheRule

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
    :ivar most: bytes of the body, at most.
    :ivar files: of them there are at most so many, and ``texts`` bytes of other fields, as far as they count.
    :ivar asked: answers asked for (``n``), at most.
    """

    content_type: str

    @property
    def most(self) -> int: ...

    @property
    def files(self) -> int: ...

    @property
    def texts(self) -> int: ...

    @property
    def asked(self) -> int: ...

    @property
    def spent(self) -> bool:
        """A part of it is on its way and is not held any more: nobody else can be asked."""

    def open(self, model: str) -> UploadBody:
        """The body with ``model`` as its model.

        :raises ValidationError: the name does not fit into it.
        """


@attrs.frozen
class Account:
    """Whose a call is, for the books: ids and names, ``""`` for none.

    :ivar key_id: outlives the key's name and its secret.
    :ivar user: its owner.
    """

    key_id: str = ""
    team: str = ""
    project: str = ""
    organization: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()


NOBODY = Account()


@attrs.frozen
class Limits:
    """What one of those whose limits hold for a caller may: itself, its project, team and so on.

    :ivar id: outlives its name: ``key:ID``.
    :ivar who: in words, with its name.
    :ivar rpm: requests a minute, ``burst`` of them at once; ``tpm``: tokens a minute; ``None`` for no limit.
    :ivar max_concurrency: calls under way.
    :ivar budgets: each with an id of its own.
    :ivar cache: what is otherwise for it than the configuration's ``[cache]`` has it.
    """

    id: str
    who: str
    rpm: int | None = None
    burst: int | None = None
    tpm: int | None = None
    max_concurrency: int | None = None
    budgets: tuple[tuple[str, Budget], ...] = ()
    cache: CacheRule | None = None

    @property
    def kind(self) -> str:
        """``key``, ``project``, ``team``, ``user`` or ``organization``."""
        return self.id.partition(":")[0]


@attrs.frozen
class Grant:
    """What a role allows, everywhere or within one team or project (their ids)."""

    permissions: frozenset[str]
    team: str = ""
    project: str = ""


@attrs.frozen
class Caller:
    """Who asks. Never holds a key.

    :ivar name: the key's alias, ``"anonymous"`` where no key was needed.
    :ivar models: patterns of the models this caller may ask for; ``("*",)`` for all.
    :ivar limits: its own first, then those of what it belongs to; the strictest counts.
    :ivar scopes: what this caller may do: ``"inference"`` is to ask for models.
    :ivar account: in whose name it asks.
    :ivar models_above: patterns of what it belongs to, which have to allow a model as well.
    :ivar roles: names of sets of ``scopes``; ``grants``: those, and where each holds.
    :ivar guardrails: those that its calls go through besides those that hold for all, by name.
    :ivar may_use: whether ``models`` allow a model; compiled once.
    :ivar id: of no other caller, whatever it is called.
    """

    name: str
    models: tuple[str, ...] = ("*",)
    limits: tuple[Limits, ...] = ()
    scopes: frozenset[str] = frozenset({"inference"})
    account: Account = NOBODY
    models_above: tuple[tuple[str, ...], ...] = ()
    roles: tuple[str, ...] = ("caller",)
    grants: tuple[Grant, ...] = ()
    guardrails: tuple[str, ...] = ()
    may_use: Callable[[str], bool] = attrs.field(init=False, eq=False, repr=False)
    id: str = attrs.field(init=False, eq=False, repr=False)

    @id.default
    def _identity(self) -> str:
        return self.account.key_id or self.name

    @property
    def tenant(self) -> str:
        """With whom it may share what was answered: its team, else nobody."""
        return self.account.team or self.id

    @may_use.default
    def _compile(self) -> Callable[[str], bool]:
        narrowing = [each for each in (self.models, *self.models_above) if "*" not in each]
        if not narrowing:
            return lambda model: True
        matches = [re.compile("|".join(map(translate, each)) or r"(?!)").match for each in narrowing]
        return lambda model: all(match(model) is not None for match in matches)


class Standing(NamedTuple):
    """How a deployment stands at this moment, for the metrics.

    :ivar label: its bounded name, which several may share.
    :ivar state: of its breaker: 0 closed, 1 half open, 2 open; the worst of its operations.
    :ivar in_flight: calls under way; ``waiting``: calls that wait for their turn.
    :ivar limit: calls at once it is given; ``rate``: calls a second; infinite where nothing limits them.
    :ivar pause: seconds until it may be asked again, where it said when.
    :ivar failing: share of the calls of the last seconds that failed.
    """

    label: str
    state: int
    in_flight: int
    waiting: int
    limit: float
    rate: float
    pause: float
    failing: float


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What one answer used, the same for every vendor: tokens, or what else it is paid by.

    :ivar input: all tokens that were read; ``cached`` (read from the vendor's cache), ``cache_write`` (written to it),
        ``audio_input`` and ``image_input`` are parts of it, ``cache_write_1h`` is the part of ``cache_write`` kept for
        an hour.
    :ivar output: all that was written; ``reasoning``, ``audio_output`` and ``image_output`` are parts of it.
    :ivar estimated: the vendor reported none; these were counted here.
    :ivar audio_ms: milliseconds of sound that were read; ``characters`` of a text that was spoken; ``images`` that were
        made.
    :ivar tier: the service tier that was billed, in the vendor's word; ``""`` for the usual one.
    :ivar cost: the vendor's own sum, in picos (:mod:`llmedge.money`), where it tells one.
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
    image_input: int = 0
    image_output: int = 0
    audio_ms: int = 0
    characters: int = 0
    images: int = 0
    tier: str = ""
    cost: int | None = None


@attrs.frozen
class Target:
    """One place a call can go.

    :ivar on_unsupported: what becomes of what it cannot be told; ``""``: as its provider has it.
    :ivar capabilities: of its model.
    :ivar timeout: seconds it has for an answer, where nobody else says how many; ``None``: those of the call.
    :ivar first_token_timeout: seconds to a stream's first content; ``None``: as ``[upstream]`` has it.
    :ivar prompt_cache: for how long its vendor is to keep the beginnings of prompts, ``5m`` or ``1h``; ``""``: it is
        not told to.
    """

    provider: str
    model: str
    on_unsupported: str = attrs.field(default="", eq=False)
    capabilities: Capabilities = attrs.field(default=Capabilities(), eq=False)
    timeout: float | None = attrs.field(default=None, eq=False)
    first_token_timeout: float | None = attrs.field(default=None, eq=False)
    prompt_cache: str = attrs.field(default="", eq=False)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@attrs.define(eq=False)
class Deadline:
    """The time one call has, over all its attempts: ``seconds``, until ``at`` by the clock; by default from now on."""

    clock: Any
    seconds: float
    at: float = attrs.Factory(lambda self: self.clock.seconds() + self.seconds, takes_self=True)

    def left(self) -> float:
        """Seconds left, never below zero."""
        left: float = self.at - self.clock.seconds()
        return max(0.0, left)


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, in the client's dialect, or in the form that the client asked its vendor for."""

    body: bytes
    usage: Usage | None = None
    content_type: bytes = b"application/json"


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
