"""Whether two answers to one question say the same, where no judge is configured. Doubt counts as no: a model that
words its answers anew each time needs a judge, and until it has one nothing is served of it."""

from __future__ import annotations

from llmedge.cache.semantic.characters import Characters
from llmedge.cache.semantic.guards import analyse, differing
from llmedge.cache.semantic.lexed import folded

LONGEST = 2000
"""Characters; longer answers agree only where they are equal."""


def agree(stored: str, fresh: str) -> bool:
    """Whether ``stored`` says what ``fresh`` says: the same but for case and space, or for words that say nothing of
    what it is about. One other noun, and another thing may be said. Takes up to some milliseconds."""
    one, other = folded(stored), folded(fresh)
    if one == other:
        return True
    if max(len(one), len(other)) > LONGEST:
        return False
    here, there = analyse(stored), analyse(fresh)
    if here is None or there is None or differing(here, there):
        return False
    if isinstance(here, Characters) or isinstance(there, Characters):
        return here.text == there.text
    return here.content == there.content
