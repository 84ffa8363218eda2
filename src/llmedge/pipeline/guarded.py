"""Answers under guardrails: whole ones, streams as they come, and what placeholders stand for, put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect, ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.surrogates import mending
from llmedge.errors import EdgeError
from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import Material, Medium, Rewriter
from llmedge.guards.json_text import JsonText
from llmedge.guards.looking import in_turns, look_at
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.places import Unit, answered, spoken
from llmedge.guards.verdicts import Stop, Tally, blocked
from llmedge.model import Answer
from llmedge.operations import Operation
from llmedge.pipeline import content
from llmedge.pipeline.guarded_stream import GuardedStream, withheld
from llmedge.pipeline.judged import JudgedStream
from llmedge.pipeline.passed import PassedText
from llmedge.pipeline.rewritten import RewrittenStream
from llmedge.streams import Reply, ReplyStream
from llmedge.threads import maybe_in_thread

Told = Callable[[], None]


async def guarded_answer(call: Call, answer: Answer, tallies: Sequence[Tally]) -> Answer:
    """A whole answer, as it may go on.

    :raises Stop: a guardrail blocks it. :raises EdgeError: one cannot say, or cannot read it.
    """
    clock = call.deadline.clock
    unit = await maybe_in_thread(clock, len(answer.body), _read, answer)
    if unit is None:
        for tally in tallies:
            if _is_text(answer):
                tally.fail("answer")
            else:
                tally.cannot_read([Medium("audio", "response")])
        return answer
    if unit.media:
        for tally in tallies:
            tally.cannot_read(unit.media)
    looking = [(tally, tally.guard.detector) for tally in tallies if tally.guard.detector is not None]
    await in_turns(look_at(unit, looking), clock)
    checkers = [tally for tally in tallies if tally.guard.checker is not None]
    if checkers:
        await check_all(checkers, _material(call, unit), clock)
    if not unit.changed:
        return answer
    changed = Answer(unit.json(), answer.usage, answer.content_type)
    show(call, changed)
    return changed


def _read(answer: Answer) -> Unit | None:
    """What is in an answer; ``None``: nobody can read it."""
    try:
        if b"json" in answer.content_type:
            return answered(answer.body)
        return spoken(answer.body.decode()) if _is_text(answer) else None
    except (ValueError, RecursionError):
        return None


def _is_text(answer: Answer) -> bool:
    return b"json" in answer.content_type or answer.content_type.startswith(b"text/")


def _material(call: Call, unit: Unit) -> Material:
    said: dict[int, list[str]] = {}
    for slot in unit.slots:
        if slot.kind == "text":
            said.setdefault(slot.message, []).append(slot.text)
    answer = ["".join(texts) for _, texts in sorted(said.items())]
    return Material("response", list(unit.slots), call, [], unit.called, unit.media, answer, "end")


def show(call: Call, answer: Answer | None) -> None:
    """A trace with what was said has what the client got; of what was blocked nothing."""
    record = call.record
    if record.content is not None:
        record.content.answer = b"" if answer is None else content.answer(call, answer)


def refused(call: Call, answer: Answer, stop: Stop) -> Answer:
    """What stands in the place of a blocked answer: a refusal in the client's dialect, and what it has cost.

    :raises ContentBlocked: there is no such form, or it is not wanted.
    """
    show(call, None)
    dialect = DIALECTS[call.dialect]
    if stop.tally.guard.settings.block == "error":
        raise blocked(stop)
    if call.operation is Operation.TEXT:
        said: dict[str, Any] = msgspec.json.decode(answer.body)
        choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "content_filter"}
        return Answer(msgspec.json.encode(said | {"choices": [choice]}), answer.usage)
    if not isinstance(dialect, ChatDialect):
        raise blocked(stop)
    try:
        parsed = mending(dialect.parse_answer, answer.body)
    except EdgeError:
        raise blocked(stop) from None
    parsed = ir.replace(parsed, choices=(ir.Choice((ir.Refusal(withheld(stop)),), "filter"),))
    context = ResponseContext(call.model, call.record.request_id, 0, call.wants_usage, call.fields)
    return Answer(dialect.render_answer(parsed, context), answer.usage)


def guarded_stream(call: Call, stream: ReplyStream, tallies: Sequence[Tally], over: Told) -> ReplyStream:
    """A stream, as it may go on.

    :param over: called when it has ended, or nobody wants more of it.
    :raises EdgeError: a guardrail cannot read it.
    """
    if call.operation not in (Operation.CHAT, Operation.TEXT):
        return PassedText(stream, call, tallies, over)
    detectors = [tally for tally in tallies if tally.guard.detector is not None]
    checkers = [tally for tally in tallies if tally.guard.checker is not None]
    if detectors or not checkers:
        stream = GuardedStream(stream, call, detectors, over)
    for mode in ("sentence", "hold", "after"):
        if judges := [tally for tally in checkers if _mode(tally) == mode]:
            stream = JudgedStream(stream, call, judges, mode, over)
    return stream


def _mode(tally: Tally) -> str:
    """How a checker sees a stream: who only tells holds nothing."""
    return tally.guard.settings.stream if tally.guard.enforced else "after"


def restored(call: Call, reply: Reply, placeholders: Placeholders) -> Reply:
    """A reply with what its placeholders stand for."""
    if isinstance(reply, Answer):
        body = placeholders.restored_json(reply.body)
        return reply if body is reply.body else Answer(body, reply.usage, reply.content_type)
    if call.operation in (Operation.CHAT, Operation.TEXT):
        return RestoredStream(reply, call, placeholders)
    return reply


class RestoredStream(RewrittenStream):
    """A stream with what its placeholders stand for."""

    def __init__(self, stream: ReplyStream, call: Call, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        super().__init__(stream, call)

    def rewriter(self, kind: str) -> Rewriter:
        make = self._placeholders.restorer
        return JsonText(make, keys=True) if kind == "tool" else make()

    def other(self, unit: Unit) -> bool:
        return any(self.whole(slot.text) != slot.text for slot in unit.slots)

    def whole(self, text: str) -> str:
        return self._placeholders.restored(text)
