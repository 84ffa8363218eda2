"""Whether two answers to one question say the same, where no judge is configured: only in the same words. Doubt counts
as no: of a model that words its answers anew each time nothing is served until it has a judge."""

from __future__ import annotations

from llmedge.cache.semantic.lexed import folded

_AROUND = ".,!?;:\"'“”„«»…*_`()"


def agree(stored: str, fresh: str) -> bool:
    """Whether ``stored`` has the words of ``fresh``, in this order, whatever stands around them."""
    return _words(stored) == _words(fresh)


def _words(text: str) -> list[str]:
    return [word for each in folded(text).split(" ") if (word := each.strip(_AROUND))]
