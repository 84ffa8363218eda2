"""Checkers, asked: within their time, and by their rule for when they cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError, TimeoutError

from llmedge.guards.interfaces import GuardFailed, Judgement, Material, Place
from llmedge.guards.looking import broken
from llmedge.guards.places import Slot
from llmedge.guards.verdicts import Stop, Tally


async def check_all(tallies: Sequence[Tally], material: Material, clock: Any) -> None:
    """Ask all of them at once. What they have changed is put into the material's places; where several change
    something, each but the first is asked once more, about what the others have made of it.

    :raises Stop: one takes its action. :raises EdgeError: one cannot say, or cannot read it.
    """
    for tally in tallies:
        if material.media:
            tally.cannot_read(material.media)
    seen = [_seen(tally, material) for tally in tallies]
    with material.call.record.routing.wait(clock):
        judgements = await _together([_ask(*each, clock) for each in zip(tallies, seen, strict=True)])
        changed = False
        for tally, each, judgement in zip(tallies, seen, judgements, strict=True):
            if judgement is not None and judgement.verdict == "change" and tally.guard.enforced:
                if changed:
                    judgement = await _ask(tally, each, clock)
                if judgement is not None and judgement.texts is not None:
                    _put(each.places, judgement.texts)
                    changed = True


async def _together(asking: Sequence[Any]) -> list[Judgement | None]:
    """What all of them say; the first one that raises ends the others."""
    if len(asking) == 1:
        return [await asking[0]]
    asked = [Deferred.fromCoroutine(each) for each in asking]
    try:
        answers = await DeferredList(asked, fireOnOneErrback=True, consumeErrors=True)
    except FirstError as error:
        raise error.subFailure.value or GuardFailed("bug") from None
    finally:
        for each in asked:
            each.cancel()
    return [judgement for _, judgement in answers]


def _seen(tally: Tally, material: Material) -> Material:
    """What of ``material`` a guardrail looks at."""
    on = tally.guard.on
    if all(each.where in on for each in material.places):
        places = material.places
    else:
        places = [each for each in material.places if each.where in on]
    return Material(
        material.of,
        places,
        material.call,
        material.offered,
        [each for each in material.called if each.where in on or "tools" in on],
        [each for each in material.media if each.where in on],
        material.answer,
        material.position,
        material.before,
    )


async def _ask(tally: Tally, material: Material, clock: Any) -> Judgement | None:
    """What it says; ``None``: it cannot say.

    :raises Stop: it takes its action. :raises GuardrailUnavailable: it cannot say, and is closed then.
    """
    if tally.failed:
        return None
    checker, begun = tally.guard.checker, perf_counter()
    assert checker is not None
    since = clock.seconds()
    try:
        try:
            work = Deferred.fromCoroutine(_awaited(checker, material))
            judgement = await _within(tally.guard.settings.timeout, work, clock)
            _hold_to(judgement, material)
        finally:
            tally.seconds += max(perf_counter() - begun, clock.seconds() - since)
        tally.judged(judgement)
    except TimeoutError:
        tally.fail("timeout")
    except GuardFailed as error:
        tally.fail(error.cause)
    except (Stop, CancelledError):
        raise
    except Exception:
        broken(tally)
    else:
        return judgement
    return None


async def _awaited(checker: Any, material: Material) -> Judgement:
    judgement: Judgement = await checker.check(material)
    return judgement


def _hold_to(judgement: Judgement, material: Material) -> None:
    """:raises GuardFailed: it is no verdict."""
    texts = judgement.texts
    good = judgement.verdict in ("pass", "block", "change") and (
        judgement.verdict != "change"
        or (texts is not None and len(texts) == len(material.places) and all(type(each) is str for each in texts))
    )
    if not good:
        raise GuardFailed("answer")


def _put(places: list[Place], texts: list[str]) -> None:
    for place, text in zip(places, texts, strict=True):
        if isinstance(place, Slot):
            if text != place.text:
                place.put(text)
        else:
            place.text = text


def _within(seconds: float, work: Deferred[Judgement], clock: Any) -> Deferred[Judgement]:
    """What ``work`` gives, within ``seconds``: what does not heed its end is not waited for.

    :raises TimeoutError: it took longer.
    """

    def give_up(_: Any) -> None:
        timer.cancel()
        work.cancel()

    def late() -> None:
        result.errback(TimeoutError())
        work.cancel()

    result: Deferred[Judgement] = Deferred(give_up)

    def done(found: Any) -> None:
        if timer.active():
            timer.cancel()
        if not result.called:
            result.callback(found)

    timer = clock.callLater(seconds, late)
    work.addBoth(done)
    return result
