"""What a type of guardrail is to the gateway, its own and those that plugins bring: see ``docs/guardrails.rst``.

A type makes, of each table of ``[[guardrails]]``, a :class:`Detector`, which finds spans in one text, or a
:class:`Checker`, which judges all that is said. When they are asked, and what becomes of what they say, is
:mod:`llmedge.pipeline.guard`'s business: neither knows of actions, modes or failure policies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import attrs
import msgspec
from zope.interface import Attribute, Interface

from llmedge.call import Call
from llmedge.config.sections.upstream import Upstream
from llmedge.model import Answer, InThread, RawObject
from llmedge.operations import Operation
from llmedge.upstream.client import Client


class Find(NamedTuple):
    """What was found in a text: its characters from ``start`` to ``end``, and what they are (``EMAIL``, ``KEY`` …)."""

    start: int
    end: int
    kind: str


@runtime_checkable
class Detector(Protocol):
    """Finds spans in one text. Local and pure; runs on the reactor.

    A find is to depend on ``context`` characters before it and on what :meth:`growing` holds back behind it, on nothing
    else: so a text gives the same finds in whatever pieces it comes.

    :ivar reach: characters that a find has at most, and that are looked at behind it; :meth:`growing` holds back no
        more.
    :ivar context: characters that are looked at before it, at most.

    One that also has a method ``quiet(text) -> bool``, true where it tells at a glance that :meth:`find` finds nothing
    in ``text``, costs less.
    """

    reach: int
    context: int

    def find(self, text: str, start: int = 0) -> list[Find]:
        """All finds in ``text`` that begin at ``start`` or behind it, sorted, none over another. What is before
        ``start`` is only looked at."""

    def growing(self, text: str) -> int:
        """Of a text that goes on: the characters at its end that may be, or grow into, a find, and are held back. 0:
        none."""


Where = Literal["request", "history", "system", "tool_results", "tool_calls", "tools", "response"]
"""As ``on`` has them."""


class Place(msgspec.Struct):
    """One text of a call.

    :ivar role: of its message, in the words of the IR; ``""`` for what is in none.
    :ivar kind: ``text``, ``thinking``, ``refusal``, ``arguments`` (a string within a tool's arguments), ``name``,
        ``description``, ``file_name``, ``transcript``, ``input`` (of embeddings, pictures, speech …).
    :ivar message: number of its message, or of the choice of an answer; -1 where there is none.
    :ivar new: nothing was answered since it was said.
    :ivar tool: the tool whose arguments, or whose result, it is.
    """

    where: Where
    text: str
    role: str = ""
    kind: str = "text"
    message: int = -1
    new: bool = True
    tool: str = ""


class OfferedTool(msgspec.Struct):
    """A tool that the request offers; ``schema`` is the JSON Schema of its arguments, raw."""

    name: str
    description: str = ""
    schema: bytes = b""


class CalledTool(msgspec.Struct):
    """A call of a tool. ``arguments`` is the JSON text. ``new``: nothing was answered since."""

    name: str
    arguments: str
    id: str = ""
    where: Where = "response"
    new: bool = True


class Medium(msgspec.Struct):
    """What is no text: a picture, a sound, a file.

    :ivar kind: ``image``, ``audio``, ``file`` or ``upload`` (a multipart body, of which nothing is held).
    :ivar url: where it is, maybe a ``data:`` URL; ``""`` where it is an id of the vendor's.
    """

    kind: str
    where: Where
    url: str = ""
    media_type: str = ""


class Material(msgspec.Struct):
    """What a checker judges: the request, or the answer to it.

    :ivar of: which of the two.
    :ivar places: those that the guardrail is ``on``, in the order in which they stand.
    :ivar offered: the tools of the request. ``called``: those called, in the conversation or in the answer.
    :ivar call: the request; its ``model``, ``caller``, ``record.request_id``, ``fields`` (raw), ``said()`` (in the IR,
        for dialects of chats) and ``deadline``.
    :ivar answer: texts of the answer's choices, whole (``of == "response"``); tools' arguments are not in them.
    :ivar position: of a streamed answer: ``""`` none, ``part`` a part of it, with what came before in ``before``, or
        ``end``: the last of it, or all.
    """

    of: Literal["request", "response"]
    places: list[Place]
    call: Call
    offered: list[OfferedTool] = []
    called: list[CalledTool] = []
    media: list[Medium] = []
    answer: list[str] = []
    position: Literal["", "part", "end"] = ""
    before: str = ""


class Judgement(msgspec.Struct):
    """What a checker says.

    :ivar verdict: ``block`` has the guardrail's action taken; ``change`` has ``texts`` stand in the places' stead,
        whatever the action.
    :ivar reason: a short constant such as ``topic``, for the record; never anything of what was said.
    :ivar score: how sure it is, from 0 to 1, where it tells.
    :ivar finds: kind → how many.
    :ivar texts: one for each of the material's places.
    :ivar cost: what asking cost, in picos (:mod:`llmedge.money`), where it is known.
    """

    verdict: Literal["pass", "block", "change"] = "pass"
    reason: str = ""
    score: float | None = None
    finds: dict[str, int] = {}
    texts: list[str] | None = None
    cost: int | None = None


PASS = Judgement()


class GuardFailed(Exception):
    """A checker cannot say: the service is away, slow or answers with something that is no verdict.

    :ivar cause: ``timeout``, ``unavailable``, ``answer`` or ``bug``, for the metrics.
    """

    def __init__(self, cause: str, message: str = "") -> None:
        super().__init__(message or cause)
        self.cause = cause


@runtime_checkable
class Checker(Protocol):
    """Judges what is said. Whoever waits for it waits ``timeout`` seconds at most, then cancels it."""

    def check(self, material: Material) -> Awaitable[Judgement]:
        """:raises GuardFailed: it cannot say; any other exception is a defect and means the same."""


class Rewriter(Protocol):
    """Rewrites one text that comes in pieces."""

    def feed(self, text: str) -> str:
        """What may go on now."""

    def end(self) -> str:
        """The rest of it."""


Replace = Callable[[str, str], str]
"""What stands in the place of a find: its kind and its text → another text."""

Ask = Callable[[Operation, str, str, RawObject, Material, float], Awaitable[tuple[Answer, int | None]]]
"""Ask a model or endpoint that is configured here: operation, dialect (``openai_chat``, ``passthrough``), model,
fields of the body without its model, the material that it is about, seconds. Gives the answer, in that dialect, and its
cost. It goes past all guardrails; the caller pays for it. Errors are EdgeErrors."""


@attrs.frozen
class GuardDeps:
    """What guardrails are made with.

    :ivar client: the pools of connections to vendors; ``limits``: ``[upstream]``.
    """

    reactor: Any
    client: Client
    limits: Upstream
    in_thread: InThread
    ask: Ask


class IGuardType(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A type of guardrail. Those of others are plugins of ``twisted.plugin`` in ``llmedge.plugins``."""

    name = Attribute("What ``type`` says in ``[[guardrails]]``. The gateway's own names go before a plugin's.")
    detects = Attribute("Whether it makes a Detector, which can look at a stream as it comes; else a Checker.")
    settings = Attribute(
        "The class of its tables: :class:`llmedge.config.sections.guardrails.Guardrail`, or a subclass with more "
        "options, or other defaults of those that all have (``on``, ``timeout``, ``stream``)."
    )

    def problems(settings):  # type: ignore[no-untyped-def]
        """What is wrong with ``settings``, for ``--check`` and the start: ``(option, words)`` each, such as
        ``("pattern", "is needed")``; an empty option is about the table as a whole."""

    def make(settings, deps):  # type: ignore[no-untyped-def]
        """The Detector or Checker of one table, with a :class:`GuardDeps`. It asks nobody before it is asked. Where it
        has a method ``close``, that is called when the configuration is out of force.

        :raises ValueError: it cannot be made; the message is a predicate about the guardrail.
        """


class GuardType(ABC):
    """What most types are: a name, a class of tables, and how one is made."""

    name: str = ""
    detects: bool = False
    settings: Any = None

    def problems(self, settings: Any) -> Iterable[tuple[str, str]]:
        """Nothing is wrong that the options themselves do not tell."""
        return ()

    @abstractmethod
    def make(self, settings: Any, deps: GuardDeps) -> Detector | Checker:
        """As :meth:`IGuardType.make`."""


Types = Mapping[str, Any]
"""Name → :class:`IGuardType`."""
