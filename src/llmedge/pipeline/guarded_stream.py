"""A stream under detectors: what they find does not go on, and what cannot be one any more does at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.errors import EdgeError
from llmedge.guards.interfaces import Detector, Medium, Rewriter
from llmedge.guards.json_text import JsonText
from llmedge.guards.looking import broken
from llmedge.guards.places import Unit
from llmedge.guards.redaction import Redactor, covered, replaced
from llmedge.guards.rules import masking
from llmedge.guards.verdicts import Stop, Tally, blocked
from llmedge.model import Usage
from llmedge.operations import Operation
from llmedge.pipeline.rewritten import Chain, RewrittenStream
from llmedge.pipeline.tokens import rough
from llmedge.streams import Batch, ReplyStream

Told = Callable[[], None]
BACK = 512
"""Characters of a text that nobody knows that the next piece of it is looked at behind."""


class StoppableStream(RewrittenStream):
    """One that a guardrail may end."""

    def __init__(self, stream: ReplyStream, call: Call, over: Told) -> None:
        super().__init__(stream, call)
        self._over = over
        self._charged: Usage | None = None
        self._stopped = False

    @property
    def usage(self) -> Usage | None:
        return self._charged or self.stream.usage

    def on_end(self, events: Batch) -> Batch:
        self._over()
        return events

    def on_error(self, error: EdgeError) -> None:
        self._over()

    def on_abort(self) -> None:
        self._over()

    def broken_off(self) -> None:
        """A guardrail cannot say, or cannot read it: nothing more of it is wanted."""
        self.stream.abort()
        self._over()

    def stop(self, stop: Stop) -> Batch:
        """End it: with a refusal in the client's dialect, where nothing of the answer is out. What its vendor has said
        until now is charged.

        :raises ContentBlocked: something is, or a refusal is not wanted.
        """
        self.stream.abort()
        self._stopped = True
        record, told = self.call.record, self.stream.usage
        by = record.routing.deciding_attempt
        least = rough(self.call, 0 if by is None else by.said)
        if told is None:
            told = least
        elif told.output < least.output:  # some tell a first count at the beginning
            told = msgspec.structs.replace(told, output=least.output, estimated=True)
        self._charged = told
        self._over()
        if self.sent or stop.tally.guard.settings.block == "error":
            raise blocked(stop) from None
        refusal: list[ir.StreamEvent] = []
        if self.call.operation is not Operation.TEXT:
            refusal += [ir.Open(0, "refusal"), ir.Delta(0, withheld(stop)), ir.Close(0)]
        return self.instead([*refusal, ir.Finish("filter"), ir.Counted(told), ir.End()])


def cover(error: EdgeError, detectors: Sequence[Detector]) -> None:
    """Mask what ``error`` says of itself: a vendor's may repeat what was said."""
    error.message = covered(error.message, detectors)
    error.details, error.more = covered(error.details, detectors), covered(error.more, detectors)
    error.args = (error.message,)


def withheld(stop: Stop) -> str:
    """What a refusal says."""
    return f"This answer was withheld by the guardrail '{stop.tally.guard.name}'."


class GuardedStream(StoppableStream):
    """:param tallies: of detectors, in the order of the configuration."""

    def __init__(self, stream: ReplyStream, call: Call, tallies: Sequence[Tally], over: Told) -> None:
        self._tallies = tallies
        self._ends: dict[tuple[Any, ...], str] = {}
        """Of texts in pieces that are none of its blocks': how each ends so far."""
        super().__init__(stream, call, over)

    def on_events(self, events: Batch) -> Batch:
        try:
            return super().on_events(events)
        except Stop as stop:
            return self.stop(stop)
        except EdgeError:
            self.broken_off()
            raise

    def on_error(self, error: EdgeError) -> None:
        super().on_error(error)
        detectors = masking(tally.guard for tally in self._tallies)
        cover(error, detectors)
        for attempt in self.call.record.routing.attempts:
            attempt.error = covered(attempt.error, detectors)

    def rewriter(self, kind: str) -> Rewriter:
        if kind == "audio":
            for tally in self._tallies:
                tally.cannot_read(_SOUND)
        if kind == "tool":
            return JsonText(self._chain, seen=self._seen)
        return self._chain()

    def _chain(self) -> Rewriter:
        return Chain([_Guarded(tally) if tally.guard.enforced else _Tapped(tally) for tally in self._tallies])

    def _seen(self, text: str) -> None:
        """What cannot be replaced: names of fields, long numbers."""
        for tally in self._tallies:
            if tally.guard.settings.action in ("block", "report"):
                _whole(tally, text)

    def other(self, unit: Unit) -> bool:
        """They may come in pieces as well: what is in two of them is found where the first has not gone on yet, as
        those that only such texts are in wait for what is said."""
        changed = False
        piece = unit.piece
        for slot in unit.slots:
            key = (piece, slot.message, slot.key)
            text = slot.text if piece is None else self._ends.get(key, "") + slot.text
            before = self._count()
            changed |= self.whole(text) != text
            if piece is not None:
                self._ends[key] = text[-BACK:] if before == self._count() else ""
        return changed

    def _count(self) -> int:
        return sum([tally.count for tally in self._tallies])

    def whole(self, text: str) -> str:
        for tally in self._tallies:
            text = _whole(tally, text)
        return text


_SOUND = [Medium("audio", "response")]


def _whole(tally: Tally, text: str) -> str:
    detector = tally.guard.detector
    if tally.failed or not text or detector is None:
        return text
    try:
        return replaced(text, detector.find(text), tally.replace)
    except Stop:
        raise
    except Exception:
        broken(tally)
        return text


class _Guarded:
    """The rewriter of a guardrail that is enforced."""

    def __init__(self, tally: Tally) -> None:
        assert tally.guard.detector is not None
        self._tally = tally
        self._redactor = Redactor(tally.guard.detector, tally.replace)
        self._fed = ""
        """What is not out yet, for when the detector fails."""

    def feed(self, text: str) -> str:
        """What may go on now.

        :raises Stop: nothing more does. :raises GuardrailUnavailable: nobody can say.
        """
        if self._tally.failed:
            return self._rest() + text
        self._fed += text
        return self._given(lambda: self._redactor.feed(text), False)

    def end(self) -> str:
        """The rest of it; the same is raised."""
        return self._rest() if self._tally.failed else self._given(self._redactor.end, True)

    def _rest(self) -> str:
        rest, self._fed = self._fed, ""
        return rest

    def _given(self, work: Callable[[], str], last: bool) -> str:
        begun = perf_counter()
        try:
            given = work()
        except Stop:
            raise
        except Exception:
            broken(self._tally)  # where it is open, what was held back goes on as it came
            return self._rest()
        finally:
            self._tally.seconds += perf_counter() - begun
        held = 0 if last else self._redactor.held
        self._fed = self._fed[-held:] if held else ""
        return given


class _Tapped:
    """One that only tells: nothing waits for it."""

    def __init__(self, tally: Tally) -> None:
        self._inner = _Guarded(tally)

    def feed(self, text: str) -> str:
        """The text."""
        self._inner.feed(text)
        return text

    def end(self) -> str:
        """Nothing."""
        self._inner.end()
        return ""
