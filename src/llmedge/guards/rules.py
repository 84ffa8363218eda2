"""Which guardrails hold for a call."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Any

import attrs

from llmedge.call import Call
from llmedge.config.sections.guardrails import Guardrail
from llmedge.errors import ValidationError
from llmedge.guards.interfaces import Checker, Detector
from llmedge.guards.refusals import GuardrailUnavailable

_REMEMBERED = 1024
"""Callers and models whose guardrails are remembered."""
_MOST = 32
"""Guardrails that a call may add."""


@attrs.frozen(eq=False)
class Guard:
    """One guardrail of the configuration.

    :ivar detector: what finds spans in a text; else ``checker`` judges.
    :ivar on: where it looks.
    """

    settings: Guardrail
    detector: Detector | None
    checker: Checker | None
    name: str = attrs.field(init=False)
    on: frozenset[str] = attrs.field(init=False)
    enforced: bool = attrs.field(init=False)
    digest: bytes = attrs.field(init=False)

    @name.default
    def _name(self) -> str:
        return self.settings.name

    @on.default
    def _on(self) -> frozenset[str]:
        return frozenset(self.settings.on)

    @enforced.default
    def _enforced(self) -> bool:
        return self.settings.mode == "enforce" and self.settings.action != "report"

    @digest.default
    def _digest(self) -> bytes:
        said = f"{self.settings!r}{getattr(self.detector or self.checker, 'fingerprint', '')}"
        return hashlib.sha256(said.encode()).digest()[:16]

    @property
    def answers(self) -> bool:
        """It looks at answers."""
        return "response" in self.on

    @property
    def asked(self) -> bool:
        """It looks at requests."""
        return self.on != {"response"}


class GuardSet:
    """Those that hold for a call, in the order of the configuration.

    :ivar digest: of them and how they are set.
    :ivar detectors: of requests, ``finders`` without their guardrails; ``checkers`` likewise; ``during``: those that
        judge while the vendor works, as do all that only tell.
    :ivar asked: all of these, in this order. ``reversible``: values get placeholders; ``waits``: somebody is waited
        for. ``answers``: those of answers.
    :ivar tags: by field of a body: what tells its texts, looked at by these detectors, from all others.
    """

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.digest = hashlib.sha256(b"".join([each.digest for each in guards])).digest()[:16]
        asked = [each for each in guards if each.asked]
        self.detectors = [(each, each.detector) for each in asked if each.detector is not None]
        checkers = [each for each in asked if each.checker is not None]
        self.checkers = [each for each in checkers if each.enforced and not each.settings.during]
        self.during = [each for each in checkers if each.settings.during or not each.enforced]
        self.asked = [*(each for each, _ in self.detectors), *self.checkers, *self.during]
        self.finders = [detector for _, detector in self.detectors]
        self.reversible = any(each.enforced and each.settings.action == "pseudonymize" for each in self.asked)
        self.waits = bool(checkers)
        self.answers = [each for each in guards if each.answers]
        self.tags: dict[str, bytes] = {}
        self._looked = hashlib.sha256(b"".join([each.digest for each, _ in self.detectors])).digest()[:8]

    def tag(self, field: str) -> bytes:
        """See :attr:`tags`."""
        if (tag := self.tags.get(field)) is None:
            tag = self._looked + hashlib.sha256(field.encode()).digest()[:4]
            if len(self.tags) < _REMEMBERED:
                self.tags[field] = tag
        return tag


class GuardRules:
    """All guardrails of a configuration, and whom they are for."""

    def __init__(self, guards: Iterable[Guard]) -> None:
        self._guards = {each.name: each for each in guards}
        self._sets: dict[tuple[str, ...], GuardSet] = {}
        self._known: dict[tuple[str, tuple[str, ...], str], tuple[str, ...]] = {}
        self._usual = [
            (each.name, _matcher(each.settings.models), _matcher(each.settings.keys))
            for each in self._guards.values()
            if each.settings.default_on
        ]

    def of(self, call: Call, asked: Sequence[str]) -> GuardSet | None:
        """Those that hold for ``call``; ``None``: none.

        :param asked: names of those that it asks for.
        :raises ValidationError: there is no such guardrail.
        :raises GuardrailUnavailable: its key or its team has one that there is not.
        """
        caller = call.caller
        key = caller.name, caller.guardrails, call.model
        names = self._known.get(key)
        if names is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            names = self._known[key] = self._of(*key)
        if asked:
            unknown = next((name for name in asked if name not in self._guards), None)
            if unknown is not None or len(asked) > _MOST:
                raise ValidationError(f"There is no guardrail '{str(unknown)[:64]}'.", param="guardrails")
            names = tuple(name for name in self._guards if name in names or name in asked)
        if not names:
            return None
        found = self._sets.get(names)
        if found is None:
            if len(self._sets) >= _REMEMBERED:
                self._sets.clear()
            found = self._sets[names] = GuardSet([self._guards[name] for name in names])
        return found

    def _of(self, caller: str, carried: tuple[str, ...], model: str) -> tuple[str, ...]:
        for name in carried:
            if name not in self._guards:
                raise GuardrailUnavailable(name)
        usual = {name for name, models, keys in self._usual if models(model) and keys(caller)}
        return tuple(name for name in self._guards if name in usual or name in carried)

    def close(self) -> None:
        """What they have in the background ends."""
        for each in self._guards.values():
            close: Any = getattr(each.detector or each.checker, "close", None)
            if close is not None:
                close()


def masking(guards: Iterable[Guard]) -> list[Detector]:
    """What finds of those that are enforced."""
    return [each.detector for each in guards if each.enforced and each.detector is not None]


def _matcher(patterns: tuple[str, ...]) -> Any:
    if "*" in patterns:
        return bool_true
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def bool_true(name: str) -> bool:
    """Any."""
    return True
