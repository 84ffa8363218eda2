"""What a Redis answers in the place of a result, and why there is none, in words that repeat nothing of a command."""

from __future__ import annotations

_HINTS = {
    "CLUSTERDOWN": "the cluster it is part of is down",
    "CROSSSLOT": "it is part of a cluster: name a single server, or a proxy before the cluster",
    "LOADING": "it is loading what it has on disk",
    "MASTERDOWN": "it is a replica without its master",
    "MISCONF": "it cannot write to its disk",
    "MOVED": "it is part of a cluster: name a single server, or a proxy before the cluster",
    "NOAUTH": "it wants a password",
    "NOPERM": "its user may not do what is needed",
    "NOREPLICAS": "it has too few replicas",
    "OOM": "its memory is full",
    "READONLY": "it is a replica",
    "WRONGPASS": "it does not know the user, or the password is wrong",
}
_OF_DATA = ("ERR", "WRONGTYPE")
"""Codes that are about what is kept there, and not about the server."""


class Unavailable(Exception):
    """There is no Redis to be had; the message is a predicate or a clause about it."""


class Refusal(Exception):
    """An error reply (RESP2, "Simple errors"). Its text is not passed on: it may repeat the command.

    :ivar code: the first word of it.
    """

    def __init__(self, text: str = "") -> None:
        word = text.partition(" ")[0]
        self.code = word if word.isascii() and word.isalpha() and word.isupper() and len(word) <= 20 else "ERR"
        super().__init__(self.code)

    @property
    def of_data(self) -> bool:
        return self.code in _OF_DATA

    def words(self, otherwise: str = "it refuses a command") -> str:
        """:param otherwise: what it means where the code alone does not say it."""
        return f"{_HINTS.get(self.code, otherwise)} ({self.code})"


class Gone(Refusal):
    """There is no answer: the connection was lost."""

    def __init__(self, why: str) -> None:
        super().__init__("GONE")
        self.why = why

    def words(self, otherwise: str = "") -> str:
        return self.why
