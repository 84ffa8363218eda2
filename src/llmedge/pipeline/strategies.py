"""In which order the targets of a model are asked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import count
from random import Random

import msgspec

from llmedge.call import Call, Candidate
from llmedge.config.sections.models import Model
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Usage
from llmedge.pipeline.deployment import Deployment
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.shape import shape_of

PREFIX = 2048
"""Bytes of a prompt that decide where it sticks: enough for a system prompt, which vendors' caches keep."""
_TYPICAL = Usage(input=1000, output=300)
"""What ``cost`` compares targets by."""


class Strategies:
    """Orders candidates. Pure but for the turn of round robin and the dice."""

    def __init__(self, deployments: Deployments, prices: Prices | None, random: Random) -> None:
        self._deployments = deployments
        self._prices = prices
        self._random = random
        self._turns: dict[str, count[int]] = {}

    def order(self, label: str, model: Model, candidates: Sequence[Candidate], call: Call) -> list[Candidate]:
        """The candidates, whoever is to be asked first in front. Those with a weight of 0 come last."""
        if len(candidates) < 2:
            return list(candidates)
        if model.sticky and (key := sticky_key(model.sticky, call)) is not None:
            return sorted(candidates, key=lambda each: _rendezvous(key, each))
        ordered = getattr(self, f"_{model.strategy}")(label, list(candidates), call)
        return sorted(ordered, key=lambda each: each.entry.weight == 0) if model.strategy != "priority" else ordered

    def _priority(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        return candidates

    def _weighted(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        """Drawn without replacement, in proportion to weight (Efraimidis & Spirakis 2006)."""
        random = self._random.random
        return sorted(
            candidates,
            key=lambda each: -math.log(random() or 5e-324) / each.entry.weight if each.entry.weight else math.inf,
        )

    def _round_robin(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        able = self._able(candidates, call)  # or the one behind a target that is out would get its turns as well
        turn = next(self._turns.setdefault(label, count())) % len(able)
        return able[turn:] + able[:turn] + [each for each in candidates if each not in able]

    def _least_busy(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        self._random.shuffle(candidates)  # so that equals share
        return sorted(candidates, key=lambda each: self._deployment(each).load / (each.entry.weight or 1.0))

    def _latency(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        """Who will answer soonest, as far as is known: all are looked at, as what they do is known here, at once."""
        shape = shape_of(call)

        def score(candidate: Candidate) -> float:
            return self._deployment(candidate).expected(shape)

        first = min(self._able(candidates, call), key=score)
        return [first, *sorted((each for each in candidates if each is not first), key=score)]

    def _cost(self, label: str, candidates: list[Candidate], call: Call) -> list[Candidate]:
        """The cheapest first; of unknown price last, in the order of the configuration."""
        return sorted(candidates, key=self._price)

    def _price(self, candidate: Candidate) -> float:
        price = None if self._prices is None else self._prices.price(candidate.target, _TYPICAL)
        return math.inf if price is None else float(price)

    def _able(self, candidates: list[Candidate], call: Call) -> list[Candidate]:
        """Those that may be asked now for what ``call`` asks, and are to get calls at all; if there are none, all."""

        def is_able(deployment: Deployment) -> bool:
            return not deployment.blocked_by(deployment.breaker_of(call.operation))

        return [each for each in candidates if each.entry.weight and is_able(self._deployment(each))] or candidates

    def _deployment(self, candidate: Candidate) -> Deployment:
        return self._deployments.get(candidate.entry.target)


def sticky_key(sticky: str, call: Call) -> bytes | None:
    """What keeps calls together: a header's value, or the beginning of the prompt; ``None`` where there is none."""
    if sticky == "prompt":
        begun = (call.fields[name] for name in DIALECTS[call.dialect].prompt if name in call.fields)
        return next((_first(bytes(raw))[:PREFIX] for raw in begun), None)
    value = call.hints.header(sticky.removeprefix("header:"))
    return value.encode() if value else None


def _first(raw: bytes) -> bytes:
    """The first of a list of messages, raw: a conversation grows behind it, and must not move for that."""
    if not raw.startswith(b"["):
        return raw
    try:
        messages = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return raw
    return bytes(messages[0]) if messages else raw


def _rendezvous(key: bytes, candidate: Candidate) -> float:
    """Weighted rendezvous hashing (Schindelhauer & Schomaker 2005): when a target goes, only its calls move."""
    digest = hashlib.blake2b(key + b"\0" + candidate.name.encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / 2**64
    return -math.log(share) / candidate.entry.weight if candidate.entry.weight else math.inf
