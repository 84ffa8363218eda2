"""What guardrails said of one call: counts and kinds, never what was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from llmedge.guards.interfaces import Judgement, Medium
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable, GuardrailUnavailable
from llmedge.guards.rules import Guard
from llmedge.money import text as money
from llmedge.record import Fact, Record

GUARDRAILS = Fact(
    "guardrails",
    "what each guardrail said: ``name``, ``on`` (request or response), ``verdict``, ``mode``, ``ms``, and where there "
    "is any ``finds`` (kinds, and how many), ``reason``, ``score``, ``cause`` (of a failure), ``unread``, ``cost_usd``",
)
APPLIED = Fact(
    "guardrails_applied",
    "the guardrails in force and what they did, such as ``no-secrets=mask``",
    "llmedge.guardrails",
    "x-llmedge-guardrails",
)
ROUTED = Fact(
    "guardrail_route", "the model that a guardrail sent the call to", "llmedge.guardrail_route", "x-llmedge-routed-to"
)
_WEIGHTS = ("pass", "report", "mask", "pseudonymize", "change", "route", "open", "block", "unavailable")
"""Verdicts, the heavier ones later; ``open``: it could not say, and the call went on all the same."""


class Stop(Exception):
    """A guardrail takes its action: what is said does not go on."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally.guard.name)
        self.tally = tally


class Said(msgspec.Struct, omit_defaults=True):
    """What one guardrail said of one side of a call, for the record.

    :ivar finds: kind → how many. ``cause``: of a failure. ``unread``: kinds of media that it cannot read.
    """

    name: str
    on: str
    verdict: str
    mode: str
    ms: float
    finds: dict[str, int] = {}
    reason: str = ""
    score: float | None = None
    cause: str = ""
    unread: list[str] = []
    cost_usd: str = ""


class Tally(msgspec.Struct, eq=False):
    """Takes down what one guardrail says of one side of a call.

    :ivar asked: that side is the request.
    :ivar count: of its finds. ``seconds``: that it took. ``cost``: in picos, where something was paid.
    :ivar failed: it could not say, and is not asked any more.
    """

    guard: Guard
    asked: bool
    _placeholders: Placeholders | None = None
    verdict: str = "pass"
    seconds: float = 0.0
    count: int = 0
    failed: bool = False
    finds: dict[str, int] | None = None
    unread: list[str] | None = None
    reason: str = ""
    cause: str = ""
    score: float | None = None
    cost: int | None = None

    @property
    def changes(self) -> bool:
        """What it finds does not stay as it is."""
        return self.guard.enforced and self.guard.settings.action in ("mask", "pseudonymize")

    @property
    def stops(self) -> bool:
        """What it finds does not go on."""
        return self.guard.enforced and self.guard.settings.action == "block"

    @property
    def routes(self) -> str:
        """The model that it sends the call to; ``""``: it does not."""
        return self.guard.settings.route if self.guard.enforced and self.verdict == "route" else ""

    def replace(self, kind: str, text: str) -> str:
        """Note a find; what stands in its place.

        :raises Stop: nothing does.
        """
        self._found(kind, 1)
        self.verdict = self.guard.settings.action
        self.count += 1
        if not self.guard.enforced:
            return text
        if self.stops:
            raise Stop(self)
        if not self.changes:
            return text
        if self._placeholders is not None:
            return self._placeholders.put(kind, text)
        return f"[{kind}]"

    def fail(self, cause: str) -> None:
        """It could not say.

        :raises GuardrailUnavailable: it is closed then.
        """
        self.failed, self.cause = True, cause
        if self.guard.enforced and self.guard.settings.on_failure == "closed":
            self.verdict = "unavailable"
            raise GuardrailUnavailable(self.guard.name)
        self.verdict = "open"

    def cannot_read(self, media: list[Medium]) -> None:
        """There are ``media`` where it looks.

        :raises ContentUnreadable: it refuses what it cannot read.
        """
        reads, unread = getattr(self.guard.checker, "reads", ()), self.unread or []
        for each in media:
            if each.where in self.guard.on and each.kind not in reads and each.kind not in unread:
                unread.append(each.kind)
        self.unread = unread
        if unread and self.guard.enforced and self.guard.settings.on_unreadable == "refuse":
            self.verdict = "block"
            raise ContentUnreadable(self.guard.name, _MANY[unread[0]])

    def judged(self, judgement: Judgement) -> None:
        """Note what a checker said.

        :raises Stop: it blocks.
        """
        for kind, count in judgement.finds.items():
            self._found(kind, count)
        self.reason = judgement.reason or self.reason
        if judgement.score is not None:
            self.score = max(judgement.score, self.score or 0.0)
        if judgement.cost is not None:
            self.cost = judgement.cost + (self.cost or 0)
        if judgement.verdict == "block":
            action = self.guard.settings.action
            self.verdict = "block" if action in ("mask", "pseudonymize") else action
            if self.guard.enforced and not self.routes:
                raise Stop(self)
        elif judgement.verdict == "change":
            self.verdict = "change"

    def _found(self, kind: str, count: int) -> None:
        if self.finds is None:
            self.finds = {}
        self.finds[kind] = self.finds.get(kind, 0) + count

    def told(self) -> Said:
        """For the record, up to now."""
        side = "request" if self.asked else "response"
        said = Said(self.guard.name, side, self.verdict, self.guard.settings.mode, round(self.seconds * 1000, 3))
        if self.verdict != "pass" or self.unread or self.score is not None:
            said.finds, said.unread = self.finds or {}, self.unread or []
            said.reason, said.cause, said.score = self.reason, self.cause, self.score
        if self.cost is not None:
            said.cost_usd = money(self.cost)
        return said


_MANY = {
    "image": "pictures",
    "audio": "sounds",
    "file": "files",
    "tokens": "prompts of tokens",
    "upload": "uploads",
}

Count = Callable[[Tally], None]


class Verdicts:
    """Those of one call, told to its record each time there is more.

    :ivar placeholders: of the call; made when the first is needed.
    :param count: is told each, once.
    """

    __slots__ = ("_count", "_record", "_tallies", "placeholders")

    def __init__(self, record: Record, count: Count) -> None:
        self._record = record
        self._count = count
        self._tallies: list[Tally] = []
        self.placeholders: Placeholders | None = None

    @property
    def sure(self) -> bool:
        """None that is enforced on answers has failed."""
        return not any(each.failed and each.guard.enforced and not each.asked for each in self._tallies)

    def tell(self, tallies: list[Tally]) -> None:
        """Write down what came out of ``tallies``."""
        for each in tallies:
            if each not in self._tallies:
                self._tallies.append(each)
                self._count(each)
        facts = self._record.facts
        facts[GUARDRAILS] = told = [each.told() for each in self._tallies]
        if {each.verdict for each in told} == {"pass"}:
            if passed := _passed(tuple([each.name for each in told if each.mode == "enforce"])):
                facts[APPLIED] = passed
            return
        applied: dict[str, str] = {}
        for said in told:
            if said.mode == "enforce":
                before = applied.get(said.name)
                applied[said.name] = max(before, said.verdict, key=_WEIGHTS.index) if before else said.verdict
        if applied:
            facts[APPLIED] = [f"{name}={verdict}" for name, verdict in applied.items()]


@lru_cache(1024)
def _passed(names: tuple[str, ...]) -> list[str]:
    """What is said where each has let a call pass."""
    return [f"{name}=pass" for name in dict.fromkeys(names)]


def blocked(stop: Stop) -> ContentBlocked:
    """What the client is told."""
    return ContentBlocked(stop.tally.guard.name, "request" if stop.tally.asked else "answer")
