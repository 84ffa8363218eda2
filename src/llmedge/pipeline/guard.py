"""Guardrails, as two stages: requests outside of whatever may answer them, answers where they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from llmedge.call import Call
from llmedge.dialects.lenient import UNREADABLE
from llmedge.errors import EdgeError, NotFound, ValidationError
from llmedge.guards import looking
from llmedge.guards.body import Body
from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import Detector, Material, Medium, Where
from llmedge.guards.looking import Clean, Look, Steps, in_turns
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.redaction import covered
from llmedge.guards.refusals import ContentUnreadable, GuardrailUnavailable
from llmedge.guards.rules import GuardRules, GuardSet, masking
from llmedge.guards.stats import GuardStats
from llmedge.guards.verdicts import ROUTED, Stop, Tally, Verdicts, blocked
from llmedge.model import Answer
from llmedge.operations import Operation
from llmedge.pipeline.guarded import guarded_answer, guarded_stream, refused, restored, show
from llmedge.pipeline.guarded_stream import cover
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.record import HEADERS, METADATA, TAGS, USER, Record
from llmedge.streams import Reply
from llmedge.threads import maybe_in_thread

FIELD = "guardrails"


@attrs.frozen
class Guards:
    """All that the stages have of guardrails.

    :ivar rules: which hold. ``stats``: what the metrics show. ``clean``: what was found clean.
    """

    rules: GuardRules
    stats: GuardStats
    clean: Clean = attrs.Factory(Clean)

    def close(self) -> None:
        """What guardrails have in the background ends."""
        self.rules.close()


@attrs.frozen(eq=False)
class Guarding:
    """The guardrails of one call, and what they have said."""

    held: GuardSet
    verdicts: Verdicts

    @property
    def sure(self) -> bool:
        """Whoever was to look at the answer could."""
        return self.verdicts.sure

    def cover(self, error: EdgeError) -> None:
        """Mask what a vendor says of its failure."""
        cover(error, masking(self.held.answers))


@attrs.frozen(eq=False)
class _Work:
    """A request that is being looked at."""

    held: GuardSet
    verdicts: Verdicts
    tallies: list[Tally]
    body: Body
    steps: Steps


class GuardRequests(Stage):
    """What is asked; and in the answer, what placeholders stand for."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self._guards: Guards = deps.guards

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        asked = _asked(call)
        if FIELD in call.fields:
            call = call.changed(fields={name: raw for name, raw in call.fields.items() if name != FIELD})
        held = self._guards.rules.of(call, asked)
        if held is None:
            return proceed(call)
        verdicts = Verdicts(call.record, self._guards.stats.count)
        call.guards, call.guarding = held.digest, Guarding(held, verdicts)
        tallies = _tallies(held, call, verdicts)
        if call.record.end_user or call.record.facts:
            _cover(call.record, masking(held.asked))
        pairs = [*zip(tallies, held.finders, strict=False)]
        try:
            body = _body(call, tallies)
            steps = Look(body, held, pairs, self._guards.clean, verdicts.placeholders).steps()
            waits = held.waits or verdicts.placeholders is not None
            left = steps if waits else _left(steps)
            if left is None:
                call = self._changed(call, body, tallies)
                verdicts.tell(tallies)
                return proceed(call)
        except BaseException as error:
            verdicts.tell(tallies)
            raise _told(error) from None
        return self._guarded(call, _Work(held, verdicts, tallies, body, left), proceed)

    async def _guarded(self, call: Call, work: _Work, proceed: Handler) -> Reply:
        """What takes its time, or waits for others."""
        held, verdicts, tallies, clock = work.held, work.verdicts, work.tallies, call.deadline.clock
        during, material = len(held.during), None
        try:
            await in_turns(work.steps, clock)
            if held.checkers:
                seen = await _material(call, work.body)
                first = len(held.detectors)
                await check_all(tallies[first : first + len(held.checkers)], seen, clock)
            call = self._changed(call, work.body, tallies)
            if during:
                material = await _material(call, Body(call.fields))
        except BaseException as error:
            verdicts.tell(tallies)
            raise _told(error) from None
        if material is None:
            verdicts.tell(tallies)
            return await self._restored(call, verdicts.placeholders, proceed)
        try:
            checking = check_all(tallies[-during:], material, clock)
            return await _during(checking, self._restored(call, verdicts.placeholders, proceed))
        except (Stop, GuardrailUnavailable, ContentUnreadable) as error:
            call.record.content = None  # its vendor was asked what nobody is to see
            raise _told(error) from None
        finally:
            verdicts.tell(tallies)

    def _changed(self, call: Call, body: Body, tallies: Sequence[Tally]) -> Call:
        """``call`` as the guardrails let it go on."""
        fields = body.changed()
        return self._routed(call if fields is None else call.changed(fields=fields), tallies)

    def _routed(self, call: Call, tallies: Sequence[Tally]) -> Call:
        model = next((tally.routes for tally in tallies if tally.routes), "")
        if not model:
            return call
        match = self.deps.models.find(model)
        if match is None:
            raise NotFound(f"The model '{model}', which a guardrail sends this call to, does not exist here.")
        call.record.facts[ROUTED] = model
        call.record.model_label = match.label
        return call.changed(model=model, match=match)

    async def _restored(self, call: Call, placeholders: Placeholders | None, proceed: Handler) -> Reply:
        if placeholders is None:
            return await proceed(call)
        if (remember := call.remember) is not None:
            call = call.changed(remember=lambda id, item: remember(id, placeholders.restored_json(item)))
        reply = await proceed(call)
        if not placeholders:
            return reply
        size = len(reply.body) if isinstance(reply, Answer) else 0
        return await maybe_in_thread(call.deadline.clock, size, restored, call, reply, placeholders)


class GuardAnswers(Stage):
    """What is answered."""

    operations = (
        *(Operation.CHAT, Operation.TEXT, Operation.IMAGES_GENERATIONS, Operation.IMAGES_EDITS),
        *(Operation.AUDIO_SPEECH, Operation.AUDIO_TRANSCRIPTIONS, Operation.AUDIO_TRANSLATIONS, Operation.RERANK),
    )

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        guarding: Guarding | None = call.guarding
        if guarding is None or not guarding.held.answers:
            return proceed(call)
        return self._guarded(call, guarding, proceed)

    async def _guarded(self, call: Call, guarding: Guarding, proceed: Handler) -> Reply:
        guards, verdicts = guarding.held.answers, guarding.verdicts
        retried = False
        while True:
            reply = await proceed(call)
            tallies = [Tally(each, False) for each in guards]
            try:
                if isinstance(reply, Answer):
                    return await guarded_answer(call, reply, tallies)
                return guarded_stream(call, reply, tallies, partial(verdicts.tell, tallies))
            except Stop as stop:
                assert isinstance(reply, Answer), "streams are stopped later"
                if retried or not stop.tally.guard.settings.retry:
                    return refused(call, reply, stop)
                retried = True
                show(call, None)
                # Who asks again takes anew what the call may use.
                self.deps.allowances.settle(call.record)
            except EdgeError:
                _let_go(reply)
                show(call, None)
                raise
            finally:
                if isinstance(reply, Answer):
                    verdicts.tell(tallies)


_ASKED: tuple[Where, ...] = ("request", "history", "system", "tool_results", "tool_calls", "tools")
_UPLOAD = [Medium("upload", where) for where in _ASKED]


def _asked(call: Call) -> Sequence[str]:
    """The guardrails that a call asks for, by body and head.

    :raises ValidationError: they are no list of names.
    """
    names = call.hints.guardrails
    if (raw := call.fields.get(FIELD)) is None:
        return names
    try:
        return *names, *(
            each if type(each) is str else str(next(iter(each), ""))  # LiteLLM's, with parameters: {"name": {…}}
            for each in msgspec.json.decode(raw, type=list[str | dict[str, Any]] | None) or ()
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError("The field 'guardrails' must be a list of names.", param=FIELD) from None


def _body(call: Call, tallies: Sequence[Tally]) -> Body:
    """:raises ContentUnreadable: it is an upload, and somebody refuses what cannot be read."""
    if call.upload is not None:
        for tally in tallies:
            tally.cannot_read(_UPLOAD)
    return Body(call.fields)


def _left(steps: Steps) -> Steps | None:
    """What is left of ``steps`` after a turn; ``None``: nothing."""
    begun = perf_counter()
    for step in steps:
        if step is not None or perf_counter() - begun >= looking.TURN:
            return chain([step], steps)
    return None


def _told(error: BaseException) -> BaseException:
    """What the client is told of ``error``."""
    if isinstance(error, Stop):
        return blocked(error)
    if isinstance(error, (ValueError, *UNREADABLE)):  # its dialect has let it pass: a half of a character, say
        return ValidationError("The body cannot be read by the guardrails that hold for it.")
    return error


def _cover(record: Record, detectors: Sequence[Detector]) -> None:
    """What was written down of the request before anybody has looked at it is masked, too."""
    record.end_user = covered(record.end_user, detectors)
    for fact in (USER, TAGS, METADATA, HEADERS):
        if fact in record.facts:
            record.facts[fact] = covered(record.facts[fact], detectors)


def _tallies(held: GuardSet, call: Call, verdicts: Verdicts) -> list[Tally]:
    """What an earlier answer's placeholders stood for nobody knows any more: a call that goes on from one that its
    vendor keeps has none."""
    if held.reversible and not call.previous:
        verdicts.placeholders = Placeholders()
    return [
        Tally(each, True, verdicts.placeholders if each.settings.action == "pseudonymize" else None)
        for each in held.asked
    ]


async def _material(call: Call, body: Body) -> Material:
    """What checkers see of a request."""
    await in_turns(body.all(), call.deadline.clock)
    units = body.units
    media = [each for unit in units for each in unit.media]
    return Material(
        "request",
        [slot for unit in units for slot in unit.slots],
        call,
        [each for unit in units for each in unit.offered],
        [each for unit in units for each in unit.called],
        media if call.upload is None else [*media, *_UPLOAD[:1]],
    )


async def _during(checking: Coroutine[Any, Any, None], asking: Coroutine[Any, Any, Reply]) -> Reply:
    """The reply, once the guardrails have let the request pass; what they stop its vendor is let go of.

    :raises Stop: one blocks it. :raises EdgeError: one cannot say; or there is no reply.
    """
    verdict: Deferred[None] = Deferred.fromCoroutine(checking)
    reply: Deferred[Reply] = Deferred.fromCoroutine(asking)
    failed: list[Failure] = []

    def stopped(failure: Failure) -> None:
        failed.append(failure)
        reply.cancel()

    verdict.addErrback(stopped)
    try:
        found = await reply
    except BaseException:
        if failed:
            raise failed[0].value from None  # type: ignore[misc]
        verdict.cancel()
        raise
    try:
        await verdict
    except BaseException:
        _let_go(found)
        raise
    if failed:
        _let_go(found)
        raise failed[0].value from None  # type: ignore[misc]
    return found


def _let_go(reply: Reply) -> None:
    if not isinstance(reply, Answer):
        reply.abort()
