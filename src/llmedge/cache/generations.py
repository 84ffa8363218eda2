"""What was purged: a mark for each of those that answers are purged by, which is in the keys of all answers. Changing
one makes all of its answers another's that nobody asks for; they leave when their time or their turn comes."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import product

from twisted.internet.defer import Deferred, succeed

ALL = "all"
EPOCH = "epoch"

Bump = Callable[[str], Awaitable[bool]]
"""Changes a mark, and shows it at once: whether all who share it know."""


class Generations:
    """:ivar marks: by ``all``, ``scope:ID``, ``model:LABEL``, ``namespace:NAME``, or several, as ``name_of`` has them;
        those never changed are missing.

    :ivar epoch: of all of them together, where others share them.
    """

    def __init__(self) -> None:
        self.marks: Mapping[str, bytes] = {}
        self.epoch = b""
        self._bump: Bump | None = None

    def of(self, scope: str, model: str, namespace: str, wider: str = "", name: str = "") -> bytes:
        """What the keys of such answers have of it.

        :param wider: a scope that ``scope`` is part of. ``name``: of the model, where ``model`` is a pattern.
        """
        marks = self.marks
        if not marks:
            return self.epoch  # nearly always
        named = _names((scope, wider), (model, name), namespace)
        found = [b"%b=%b" % (name.encode(), marks[name]) for name in named if name in marks]
        return b"\n".join([self.epoch, *found])

    def bump(self, name: str) -> Deferred[bool]:
        """Purge all answers of ``name``, here at once. Fires with whether the others know; if not, they will."""
        if self._bump is None:
            self.marks = {**self.marks, name: secrets.token_hex(8).encode()}
            return succeed(True)
        return Deferred.fromCoroutine(_awaited(self._bump(name)))

    def share(self, bump: Bump | None) -> None:
        """Others know of what is purged, by ``bump``, and say what they purge; ``None``: nobody else."""
        self._bump = bump

    def learn(self, values: Mapping[str, bytes]) -> None:
        """What all have who share them, whatever bytes that is."""
        self.epoch = values[EPOCH].hex().encode()
        self.marks = {name: value.hex().encode() for name, value in values.items() if name != EPOCH}


def name_of(scope: str = "", model: str = "", namespace: str = "") -> str:
    """What answers are purged by that are of all of these; of nothing: all there are."""
    said = {"scope": scope, "model": model, "namespace": namespace}
    return "|".join([f"{what}:{value}" for what, value in said.items() if value]) or ALL


def _names(scopes: Collection[str], models: Collection[str], namespace: str) -> list[str]:
    """All that such an answer may be purged by."""
    some = product(dict.fromkeys(("", *scopes)), dict.fromkeys(("", *models)), dict.fromkeys(("", namespace)))
    return [name_of(*each) for each in some]


async def _awaited(what: Awaitable[bool]) -> bool:
    return await what
