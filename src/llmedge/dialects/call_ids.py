"""Ids for calls whose vendor gave none, or gave one to two calls of an answer."""

from __future__ import annotations

import hashlib

import msgspec

from llmedge.dialects import ir

_replace = msgspec.structs.replace


class CallIds:
    """The ids of one answer's calls. Made ones differ between answers, since a history holds many; they are letters,
    digits and ``_``, 31 characters at least and 40 at most, which every vendor and client takes.

    :param seed: different for each call of a client's.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._known: set[str] = set()

    def answer(self, answer: ir.Answer) -> ir.Answer:
        """``answer`` with an id for each call."""
        choices = tuple(
            _replace(choice, parts=tuple(map(self._part, choice.parts)))
            if any(isinstance(part, ir.ToolCall) for part in choice.parts)
            else choice
            for choice in answer.choices
        )
        return _replace(answer, choices=choices)

    def opened(self, event: ir.Open) -> ir.Open:
        """``event`` with an id, if it opens a call."""
        return _replace(event, tool_id=self._one(event.tool_id)) if event.kind == "tool" else event

    def _part(self, part: ir.Part) -> ir.Part:
        return _replace(part, id=self._one(part.id)) if isinstance(part, ir.ToolCall) else part

    def _one(self, identifier: str) -> str:
        if not identifier or identifier in self._known:
            digest = hashlib.sha256(self._seed.encode(errors="replace")).hexdigest()[:24]
            identifier = f"call_{digest}_{len(self._known)}"
        self._known.add(identifier)
        return identifier
