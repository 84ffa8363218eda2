"""Whose somebody is, and what follows from it."""

from __future__ import annotations

import attrs

from llmedge.model import Account, Limits


@attrs.frozen
class Place:
    """:ivar account: with the ids of all it belongs to.

    :ivar limits: of those; ``models``: patterns of each that narrows them; ``guardrails`` by name.
    :ivar known: which of them are more than a word: ``team``, ``user``, ….
    """

    account: Account
    limits: tuple[Limits, ...] = ()
    models: tuple[tuple[str, ...], ...] = ()
    guardrails: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
