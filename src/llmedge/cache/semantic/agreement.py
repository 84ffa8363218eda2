"""Whether two answers to one question say the same, where no judge is configured. Doubt counts as no: a model that
words its answers anew each time needs a judge, and until it has one nothing is served of it."""

from __future__ import annotations

import re
from collections import Counter

from llmedge.cache.semantic.characters import Characters
from llmedge.cache.semantic.guards import analyse
from llmedge.cache.semantic.lexed import folded

LONGEST = 8000
"""Characters; longer answers agree only where they are equal."""
ALIKE = 0.8
"""Share of the words that both have, at least."""
_WORD = re.compile(r"\w+")


def agree(stored: str, fresh: str) -> bool:
    """Whether ``stored`` says what ``fresh`` says: the same but for case and space; or the same numbers, names, symbols
    and negations, in words most of which are the same. Takes up to some milliseconds."""
    one, other = folded(stored), folded(fresh)
    if one == other:
        return True
    if max(len(one), len(other)) > LONGEST:
        return False
    words, others = Counter(_WORD.findall(one)), Counter(_WORD.findall(other))
    shared = sum((words & others).values())
    if 2 * shared < ALIKE * (words.total() + others.total()):
        return False
    here, there = analyse(stored), analyse(fresh)
    if here is None or there is None or isinstance(here, Characters) or isinstance(there, Characters):
        return False
    facts = [(sorted(each.numbers), each.symbols, each.negations, each.names) for each in (here, there)]
    return here.language == there.language and facts[0] == facts[1]
