"""Operators' own regular expressions: which of them may be run on the reactor, and what is known of their matches.

``re`` goes back and tries again, and nothing stops it meanwhile. So every repeat has an end here, and a pattern is
refused where repeats within or behind one another can share out the same characters in many ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# The parse tree has no public name; these have been what they are since Python 3.11.
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import attrs

MOST = 128
"""What ``*``, ``+`` and ``{n,}`` repeat at most; of a group a quarter of it."""
LONGEST = 1024
"""Characters that a match may have, and that may be looked at behind it."""
_WAYS = 512
"""In how many ways repeats may share out the characters behind one place."""
_BEHIND = 90

_TOKENS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:#[^)]*\))?|[*+?]|\{[0-9]*(?:,[0-9]*)?\}|.", re.DOTALL)
_OPEN = re.compile(r"\{([0-9]*),\}")


def bounded(source: str) -> str:
    """The pattern ``source`` with an end for each repeat that has none."""
    out: list[str] = []
    quantified = False
    most = MOST
    for part in _TOKENS.findall(source):
        if quantified and part in "?+":  # lazy, possessive
            quantified = False
        elif part in "*+":
            part, quantified = f"{{{int(part == '+')},{most}}}", True
        elif found := _OPEN.fullmatch(part):
            part, quantified = f"{{{found[1] or 0},{max(most, int(found[1] or 0))}}}", True
        else:
            quantified = part == "?" or (part[0] == "{" and len(part) > 1)
        most = MOST // 4 if part == ")" else MOST
        out.append(part)
    return "".join(out)


@attrs.frozen
class Pattern:
    """One that may be run.

    :ivar reach: characters from where a match begins that decide about it. ``first``: what it may begin with.
    :ivar begins: the text that every match begins with, as far as case is heeded.
    """

    regex: re.Pattern[str]
    reach: int
    first: re.Pattern[str]
    begins: str


def read(source: str, ignore_case: bool = False) -> Pattern:
    """The pattern ``source``.

    :raises ValueError: it is none, or would hold up everything; the message is a predicate about it.
    """
    flags = re.IGNORECASE if ignore_case else 0
    try:
        tree = parser.parse(bounded(source), flags)
        regex = re.compile(bounded(source), flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if regex.flags & re.VERBOSE:
        raise ValueError("is verbose, (?x), which is not read here: write it in one line")
    shape = _Reader(ignore_case or bool(regex.flags & re.IGNORECASE)).sequence(tree)
    if shape.least == 0:
        raise ValueError("matches where nothing is: have it match at least one character")
    if shape.most + shape.ahead > LONGEST:
        raise ValueError(f"may match, or look at, more than {LONGEST} characters: bound its repeats, as in {{0,80}}")
    first = "".join(map(re.escape, sorted(shape.first)))
    beyond = "" if shape.first.isdisjoint(_BEYOND) else "\\x80-\\U0010ffff"
    begins = "" if regex.flags & re.IGNORECASE else _literal(tree)
    return Pattern(regex, shape.most + shape.ahead + 1, re.compile(f"[{first}{beyond}]"), begins)


def _literal(tree: Iterable[Any]) -> str:
    text = ""
    for op, value in tree:
        if op is ops.AT:
            continue
        if op is not ops.LITERAL:
            break
        text += chr(value)
    return text


_BEYOND = frozenset("\u00e9\u0416\u4e2d\u00a0\u0664")
_ALPHABET = frozenset(map(chr, range(128))) | _BEYOND
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT)


@attrs.frozen
class _Shape:
    """What part of a pattern matches.

    :ivar least: characters; ``most``. ``ahead``: looked at behind them. ``first``: which it may begin with.
    :ivar ways: in how many ways it may be tried at one place, at most. ``open``: how many of them are open at its end,
        where it may go on with ``last``. ``same``: it matches the same characters in several ways.
    """

    least: int = 0
    most: int = 0
    ahead: int = 0
    first: frozenset[str] = frozenset()
    ways: int = 1
    open: int = 1
    last: frozenset[str] = frozenset()
    same: bool = False


class _Reader:
    def __init__(self, ignore_case: bool) -> None:
        self._ignore_case = ignore_case

    def sequence(self, tree: Iterable[Any]) -> _Shape:
        """Parts one behind the other."""
        whole = _Shape()
        for op, value in tree:
            part = self._part(op, value)
            # what a repeat leaves open, the next part may take: each way of the one with each of the other
            shared = not whole.last.isdisjoint(part.first)
            ways = max(whole.ways, part.ways, whole.open * part.ways if shared else 1)
            if ways > _WAYS:
                raise ValueError(
                    "has repeats behind one another that fit the same characters, and would try all ways to share them "
                    "out: bound them, as in {0,20}, or make them possessive, as in \\w++"
                )
            optional = part.least == 0
            keeps = shared or optional
            whole = _Shape(
                least=whole.least + part.least,
                most=whole.most + part.most,
                ahead=max(whole.ahead - part.least, part.ahead, 0),
                first=whole.first | (part.first if whole.least == 0 else frozenset()),
                ways=ways,
                open=(whole.open if keeps else 1) * part.open,
                last=(whole.last if keeps else frozenset()) | part.last,
                same=whole.same or part.same or (shared and whole.open > 1 and part.open > 1),
            )
        return whole

    def _part(self, op: Any, value: Any) -> _Shape:
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
            chars = self._chars(op, value)
            return _Shape(1, 1, 0, chars)
        if op is ops.AT:
            return _Shape(ahead=1)
        if op is ops.SUBPATTERN:
            return _Reader(self._ignore_case or bool(value[1] & re.IGNORECASE)).sequence(value[3])
        if op is ops.ATOMIC_GROUP:
            return attrs.evolve(self.sequence(value), open=1, last=frozenset(), same=False)
        if op is ops.BRANCH:
            return self._branch([self.sequence(each) for each in value[1]])
        if op in _REPEATS or op is ops.POSSESSIVE_REPEAT:
            least, most, inner = value
            return self._repeat(least, most, inner, op is ops.POSSESSIVE_REPEAT)
        if op in (ops.ASSERT, ops.ASSERT_NOT):
            direction, inner = value
            shape = self.sequence(inner)
            if direction < 0:
                if shape.most > _BEHIND:
                    raise ValueError(f"looks back more than {_BEHIND} characters")
                return _Shape()
            return _Shape(ahead=shape.most + shape.ahead, first=shape.first, ways=shape.ways)
        raise ValueError("refers to a group of its own, which takes as long as it likes: write it out")

    def _branch(self, branches: Sequence[_Shape]) -> _Shape:
        firsts = [each.first for each in branches]
        first = frozenset().union(*firsts)
        clear = sum(map(len, firsts)) == len(first) and sum(each.least == 0 for each in branches) < 2
        return _Shape(
            least=min(each.least for each in branches),
            most=max(each.most for each in branches),
            ahead=max(each.ahead for each in branches),
            first=first,
            ways=max(each.ways for each in branches),
            open=sum(each.open for each in branches)
            if any(each.least == 0 for each in branches) or not clear
            else (max(each.open for each in branches)),
            last=frozenset().union(*(each.last if each.least else each.last | first for each in branches)),
            same=not clear or any(each.same for each in branches),
        )

    def _repeat(self, least: int, most: int, inner: Any, possessive: bool) -> _Shape:
        shape = self.sequence(inner)
        several = shape.same or (shape.open > 1 and not shape.last.isdisjoint(shape.first)) or shape.least == 0
        each = max(shape.ways if shape.same else shape.open, 2) if most > 1 and several else 1
        if each > 1 and (most > 8 or each**most > _WAYS):
            raise ValueError(
                "repeats what may itself be shared out in several ways, such as (a+)+ or (a|ab)*, and would try them "
                "all: take one repeat away, or make the inner one possessive, as in (?:\\w++\\.)+"
            )
        count = int(most) - int(least) + 1
        ways = each**most if each > 1 else count * (shape.open if most == 1 else 1)
        return _Shape(
            least=int(least) * shape.least,
            most=int(most) * shape.most,
            ahead=shape.ahead,
            first=shape.first,
            ways=max(shape.ways, ways),
            open=1 if possessive else ways,
            last=frozenset() if possessive else shape.last | (shape.first if count > 1 else frozenset()),
            same=shape.same and not possessive,
        )

    def _chars(self, op: Any, value: Any) -> frozenset[str]:
        if op is ops.ANY:
            return _ALPHABET
        if op is ops.LITERAL:
            return self._cased({chr(value)})
        if op is ops.NOT_LITERAL:
            return _ALPHABET - self._cased({chr(value)})
        chars: set[str] = set()
        classes: set[str] = set()
        negated = False
        for kind, item in value:
            if kind is ops.NEGATE:
                negated = True
            elif kind is ops.LITERAL:
                chars.add(chr(item))
            elif kind is ops.RANGE:
                chars |= {each for each in _ALPHABET if item[0] <= ord(each) <= item[1]}
                chars |= _BEYOND if item[1] > 127 else set()
            else:
                classes |= {each for each in _ALPHABET if re.match(_CATEGORIES[item], each)}
        whole = self._cased(chars) | classes
        if negated:
            return (_ALPHABET - whole) | (_BEYOND - classes)
        return whole

    def _cased(self, chars: set[str]) -> frozenset[str]:
        if any(ord(each) > 127 for each in chars):
            chars = chars | _BEYOND
        if not self._ignore_case:
            return frozenset(chars)
        return frozenset(chars | {each.lower() for each in chars} | {each.upper() for each in chars})
