"""What the cache by meaning would make of pairs of questions of which somebody has said whether one answer does for
both. Nothing is served, nobody is asked but, where one is given, a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs
import msgspec

from llmedge.cache.semantic.eligible import unfit
from llmedge.cache.semantic.embedder import Embedder
from llmedge.cache.semantic.guards import analyse, differing, strictly_same


class Pair(msgspec.Struct, frozen=True):
    """A line of the file: JSON. What else it has is left alone.

    :ivar same: whether one answer does for both.
    :ivar before_a: what was said before; an answer after another conversation is never given.
    """

    a: str
    b: str
    same: bool
    before_a: str = ""
    before_b: str = ""


Judge = Callable[[Pair], bool | None]
"""Whether one answer does for both; ``None``: it does not say."""
_decode = msgspec.json.Decoder(Pair).decode


@attrs.frozen
class Outcome:
    """:ivar why: why neither rule has it served; ``""`` where one may. ``likeness``: a cosine."""

    pair: Pair
    why: str
    likeness: float
    strict: bool
    verified: bool


@attrs.frozen
class Sum:
    """:ivar same: pairs that one answer does for. ``hits``: that are served, ``wrong``: of the others."""

    pairs: int
    same: int
    hits: int
    wrong: int

    @property
    def recall(self) -> float:
        """The share of what could be served that is."""
        return (self.hits - self.wrong) / self.same if self.same else 0.0


def read(lines: Iterable[bytes]) -> list[Pair]:
    """:raises ValueError: a line is none, by its number."""
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                pairs.append(_decode(line))
            except msgspec.DecodeError as error:
                raise ValueError(f"line {number}: {error}") from None
    return pairs


def outcomes(pairs: Iterable[Pair], embed: Embedder, threshold: float, judge: Judge) -> Iterator[Outcome]:
    """What becomes of each. The judge is asked of those only that the guards let through."""
    for pair in pairs:
        why, likeness, strict = _compared(pair, embed, threshold)
        verified = not why and bool(judge(pair))
        yield Outcome(pair, why or ("" if strict or verified else "judge"), likeness, strict, verified)


def summed(found: Iterable[tuple[Pair, bool]]) -> Sum:
    """:param found: pairs, and whether they are served."""
    listed = list(found)
    served = [pair for pair, hit in listed if hit]
    return Sum(len(listed), sum(pair.same for pair, _ in listed), len(served), sum(not pair.same for pair in served))


def _compared(pair: Pair, embed: Embedder, threshold: float) -> tuple[str, float, bool]:
    if pair.before_a != pair.before_b:
        return "conversation", 0.0, False
    if why := unfit(pair.a) or unfit(pair.b):
        return why, 0.0, False
    one, other = analyse(pair.a), analyse(pair.b)
    if one is None or other is None:
        return "language", 0.0, False
    if why := differing(one, other):
        return why, 0.0, False
    likeness = float(embed(pair.a) @ embed(pair.b))
    if likeness < threshold:
        return "likeness", likeness, False
    return "", likeness, strictly_same(one, other)
