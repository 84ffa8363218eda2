"""What was purged: a number for each of those that answers are purged by, which is in the keys of all answers. Counting
one up makes all of its answers another's that nobody asks for; they leave when their time or their turn comes."""

from __future__ import annotations

from collections.abc import Mapping

ALL = "all"


class Generations:
    """:ivar numbers: by ``all``, ``scope:ID``, ``model:LABEL``, ``namespace:NAME``; those at 0 are missing.

    :ivar epoch: of all of them together, where others share them.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.epoch = b""

    def of(self, scope: str, model: str, namespace: str) -> bytes:
        """What the keys of such answers have of it."""
        numbers = self.numbers
        if not numbers:
            return self.epoch  # nearly always
        names = (ALL, f"scope:{scope}", f"model:{model}", f"namespace:{namespace}")
        return self.epoch + b"".join([b".%d" % numbers.get(name, 0) for name in names])

    def bump(self, name: str) -> None:
        """Purge all answers of ``name``."""
        self.numbers[name] = self.numbers.get(name, 0) + 1

    def learn(self, epoch: bytes, numbers: Mapping[str, int]) -> None:
        """What those say who share them. A number never goes back: what was purged here stays so."""
        if epoch != self.epoch:
            self.epoch = epoch
        for name, number in numbers.items():
            self.numbers[name] = max(number, self.numbers.get(name, 0))
