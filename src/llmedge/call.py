"""What a client asks for, and where that may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from msgspec import UNSET, UnsetType

from llmedge.config.capabilities import Capabilities
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.dialects import ir
from llmedge.dialects.dialect import ClientDialect
from llmedge.dialects.embedding_ir import EmbeddingDialect, EmbeddingRequest
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import ValidationError
from llmedge.model import Caller, Deadline, RawObject, Target, Upload
from llmedge.operations import Operation
from llmedge.record import Record


@attrs.frozen(eq=False)
class Candidate:
    """One target of a model.

    :ivar fallback: the name of the fallback it was found through, ``""`` for the model's own.
    """

    target: Target
    entry: TargetEntry
    fallback: str = ""

    @property
    def name(self) -> str:
        """``PROVIDER/MODEL``."""
        return self.entry.target

    @property
    def capabilities(self) -> Capabilities:
        """What its model can do."""
        return self.target.capabilities


@attrs.frozen(eq=False)
class Match:
    """What a model name stands for.

    :ivar label: the bounded name for metrics: a configured name or pattern, never a client's invention.
    :ivar model: how the candidates are to be asked.
    :ivar timeout: seconds an answer may take, ``stream_timeout``: a whole stream; ``None``: as any model's.
    """

    label: str
    candidates: tuple[Candidate, ...]
    model: Model
    timeout: float | None = None
    stream_timeout: float | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """The candidates' targets, in the order of the configuration."""
        return tuple(candidate.target for candidate in self.candidates)


class CacheWish(msgspec.Struct, frozen=True):
    """What a client says of the cache.

    :ivar read: an answer that was kept will do; ``only``: no other will.
    :ivar store: the answer may be kept.
    :ivar asked: the cache is wanted, where it has to be asked for.
    :ivar max_age: seconds that an answer may have been kept, at most; ``min_fresh``: for which it has to be fresh yet.
    :ivar max_stale: seconds for which it may be stale.
    :ivar ttl: seconds for which the answer is kept, at most.
    :ivar namespace: only answers of calls with the same one will do.
    """

    read: bool = True
    only: bool = False
    store: bool = True
    asked: bool = False
    max_age: float | None = None
    min_fresh: float = 0.0
    max_stale: float = 0.0
    ttl: float | None = None
    namespace: str = ""


class RoutingHints(msgspec.Struct, frozen=True):
    """What a client may say about how its call is answered.

    :ivar retries: at most so many, if it is fewer than the configuration has.
    :ivar tags: only targets that have all of these.
    :ivar no_fallback: only the targets of the model asked for.
    :ivar header: a header of the request by name, for calls that stick together.
    :ivar cache: what it says of the cache; ``None``: nothing.
    :ivar guardrails: names of those that it adds.
    """

    retries: int | None = None
    no_fallback: bool = False
    tags: frozenset[str] = frozenset()
    header: Callable[[str], str | None] = lambda name: None
    cache: CacheWish | None = None
    guardrails: tuple[str, ...] = ()


class Marks(msgspec.Struct, frozen=True):
    """What the head of a request says of what is asked, such as beta features: for a vendor of the same dialect, and no
    other.

    :ivar headers: names and values.
    :ivar query: of the URL, as it is sent on.
    :ivar names: what is left out where another dialect is spoken.
    """

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    names: tuple[str, ...] = ()


NO_MARKS = Marks()
"""Of nearly every request."""


class Call(msgspec.Struct):
    """One request for inference.

    :ivar dialect: name of the wire format it came in, which the answer has to be in.
    :ivar fields: the body's top-level fields, each value still the bytes received.
    :ivar wants_usage: the client asked for usage in the stream.
    :ivar choices: how many answers were asked for (``n``).
    :ivar continues: the last message is the beginning of the answer, to be gone on with.
    :ivar upload: the body, where it is passed on as it comes; ``fields`` is empty then.
    :ivar remember: keeps an item of the answer under its id, where the client may refer to it.
    :ivar patience: seconds that the client named, 0 for none: they are those of each attempt.
    :ivar previous: the id of the answer or conversation that it goes on from, ``kept_by`` the target that has it, where
        that is known.
    :ivar heavy: its body is dealt with in a thread.
    :ivar guards: which guardrails hold for it, and how they are set: a digest; ``b""`` for none. ``guarding``: those,
        and what they say.
    :ivar match: where it may go, once ``Admit`` has found that.
    :ivar beginnings: digests of how its prompt begins, the longest first, where vendors are to keep that.
    """

    operation: Operation
    dialect: str
    model: str
    fields: RawObject
    stream: bool
    wants_usage: bool
    choices: int
    caller: Caller
    deadline: Deadline
    record: Record
    marks: Marks = NO_MARKS
    hints: RoutingHints = RoutingHints()
    patience: float = 0.0
    continues: bool = False
    upload: Upload | None = None
    match: Match | None = None
    heavy: bool = False
    remember: Callable[[str, bytes], None] | None = None
    previous: str = ""
    kept_by: str = ""
    guards: bytes = b""
    guarding: Any = None
    beginnings: tuple[bytes, ...] = ()
    _said: Any = None
    _asked: int | UnsetType | None = UNSET

    def said(self) -> ir.Request:
        """What it says, in the IR. Parsed once, on the thread that asks first; a dialect of chats only.

        :raises ValidationError: a field is mistyped.
        """
        said: ir.Request = self._parsed()
        return said

    def own_tools(self) -> dict[str, ir.Tool]:
        """Tools of a chat that its client knows otherwise than as functions, by name."""
        if "tools" not in self.fields and b'"additional_tools"' not in bytes(self.fields.get("input", b"")):
            return {}
        try:
            said = self.said()
        except ValidationError:  # within one dialect only the vendor judges a body
            return {}
        return {tool.name: tool for tool in said.tools if tool.kind or tool.namespace}

    def embedded(self) -> EmbeddingRequest:
        """The same, for a dialect of embeddings."""
        said: EmbeddingRequest = self._parsed()
        return said

    def most_output(self) -> int | None:
        """Tokens that each answer may have, as its client says; ``None`` if it does not. Looked up once."""
        if self._asked is UNSET:
            self._asked = DIALECTS[self.dialect].asked_output(self.fields)
        return self._asked

    def _parsed(self) -> Any:
        if self._said is None:
            dialect = DIALECTS[self.dialect]
            assert isinstance(dialect, ClientDialect | EmbeddingDialect), f"{dialect.name} is not read"
            self._said = dialect.parse(self.fields)
        return self._said

    def saying(self, said: ir.Request) -> Call:
        """A copy that says ``said`` to who is asked in another dialect."""
        return msgspec.structs.replace(self, _said=said)

    def changed(self, **fields: Any) -> Call:
        """A copy with other values. Where the body's fields change, what was said before does not count."""
        if "fields" in fields:
            fields = {"_said": None, "_asked": UNSET} | fields
        return msgspec.structs.replace(self, **fields)
