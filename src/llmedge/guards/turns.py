"""Long texts in windows, a few of them in one turn of the reactor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred

WINDOW = 2048
"""Characters of a window."""
OVERLAP = 256
"""Of them, those that the window before has had."""


def windows(text: str) -> Iterator[tuple[int, str]]:
    """``text`` in windows, each with where it begins; one that is no longer than a window is itself one."""
    at = 0
    while True:
        yield at, text[at : at + WINDOW]
        if at + WINDOW >= len(text):
            return
        at += WINDOW - OVERLAP


async def in_turns(clock: Any, each: int, texts: Sequence[str]) -> AsyncIterator[tuple[int, int, str]]:
    """Windows of ``texts``: the number of the text, where the window begins in it, and what is there.

    :param each: windows after which the others on the reactor have their turn.
    """
    count = 0
    for number, text in enumerate(texts):
        for at, window in windows(text):
            if count == each:
                count = 0
                await _turn(clock)
            count += 1
            yield number, at, window


async def _turn(clock: Any) -> None:
    turn: Deferred[None] = Deferred()
    timer = clock.callLater(0, turn.callback, None)
    try:
        await turn
    finally:
        if timer.active():
            timer.cancel()
