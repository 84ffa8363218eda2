"""``llmedge guard test``: how good guardrails are at an operator's own samples. It asks no gateway and no network."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from llmedge.cli.client import Problem
from llmedge.cli.tables import table
from llmedge.config.load import ConfigError, read_table
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards.interfaces import Checker, Detector, GuardDeps, Material, Place
from llmedge.guards.labelled import Line, Report, Score, as_document, lines, tried
from llmedge.guards.registry import GuardTypes, made

PAIR = ({"name": "pii", "type": "pii"}, {"name": "secrets", "type": "secrets"})
"""What is tried where no configuration is given."""
_SCORED = ("injection",)
"""Checkers that say of one text, and alone, whether it is one."""


def test(path: str, config: str | None) -> tuple[Mapping[str, Any], str]:
    """The figures of guardrails at the lines of a file: as a document, and as a text.

    :param path: the file; ``""``: those that the guardrails have as ``samples``.
    :param config: a configuration file; ``None``: :data:`PAIR`.
    :raises Problem: something cannot be read, or is wrong.
    """
    guards = _guards(config)
    files = [path] if path else sorted({each.samples for each in guards if each.samples})
    if not files:
        raise Problem("give a FILE of labelled lines, or a guardrail its samples")
    try:
        samples = [line for each in files for line in lines(each)]
    except ValueError as error:
        raise Problem(str(error)) from None
    return _tried(guards, samples)


def _guards(config: str | None) -> list[Guardrail]:
    try:
        tables = PAIR if config is None else tomllib.loads(Path(config).read_text("utf-8-sig")).get("guardrails", ())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Problem(f"{config} cannot be read: {error}") from None
    if not tables:
        raise Problem(f"{config} has no [[guardrails]]")
    types, found = GuardTypes(), []
    for each in tables:
        name = each.get("name") or each.get("type")
        if (type := types.get(each.get("type", ""))) is None:
            raise Problem(f"the guardrail {name!r} has a type that is none, and no plugin: {each.get('type')!r}")
        try:
            settings = read_table(type.settings, each)
        except ConfigError as error:
            raise Problem(f"the guardrail {name!r}: {error}") from None
        if problems := list(type.problems(settings)):
            raise Problem(
                "\n".join(f"the guardrail {name!r}: {f'{option} {words}'.strip()}" for option, words in problems)
            )
        found.append(settings)
    return found


def _tried(guards: Sequence[Guardrail], samples: Sequence[Line]) -> tuple[Mapping[str, Any], str]:
    types, clock = GuardTypes(), Clock()
    deps = GuardDeps(clock, cast(Any, None), cast(Any, None), cast(Any, None), cast(Any, None))
    detectors: list[Detector] = []
    document: dict[str, Any] = {}
    texts, others = [], []
    for each in guards:
        if types[each.type].detects:
            detectors.append(cast(Detector, _made(each, deps)))
        elif each.type in _SCORED:
            scored = _scored(cast(Checker, _made(each, deps)), samples, each, clock)
            document.setdefault("injection", {})[each.name] = scored
            texts.append(f"{each.name}: {', '.join(f'{name} {figure}' for name, figure in scored.items())}\n")
        else:
            others.append(each.name)
    if detectors:
        known = frozenset().union(*(getattr(each, "kinds", ()) for each in detectors))
        report = tried(detectors, samples, known)
        document |= as_document(report)
        texts.insert(0, _text(report))
    if others:
        document["not_tried"] = others
        texts.append(f"not tried, since they judge whole calls or ask a service: {', '.join(others)}\n")
    return document, "".join(texts)


def _made(settings: Guardrail, deps: GuardDeps) -> Any:
    try:
        return made(settings, deps)
    except ConfigError as error:
        raise Problem(str(error)) from None


def _scored(checker: Checker, samples: Sequence[Line], settings: Guardrail, clock: Clock) -> dict[str, int]:
    """How many lines it flags, of those that are to be flagged, and of those that are not."""
    figures = {"injections": 0, "flagged": 0, "harmless": 0, "flagged_harmless": 0}
    where = "tool_results" if "tool_results" in settings.on else settings.on[0]
    for line in samples:
        if line.injection is None:
            continue
        material = Material("request", [Place(cast(Any, where), line.text)], cast(Any, None))
        said: list[Any] = []
        Deferred.fromCoroutine(cast(Any, checker.check(material))).addBoth(said.append)
        while not said:
            clock.advance(0)
        figures["injections" if line.injection else "harmless"] += 1
        if getattr(said[0], "verdict", "") == "block":
            figures["flagged" if line.injection else "flagged_harmless"] += 1
    return figures


def _text(report: Report) -> str:
    rows = [*(_row(kind, score) for kind, score in report.kinds.items()), _row("all", report.all)]
    text = table(("kind", "precision", "recall", "right", "wrong", "missed"), rows)
    text += f"traps flagged: {report.flagged} of {report.traps}\n"
    if report.apart:
        counted = ", ".join(f"{number} {kind}" for kind, number in sorted(report.apart.items()))
        text += f"not looked for: {counted}\n"
    text += f"{report.micros:.0f} µs of CPU for 1,000 characters\n"
    for number, what, find in sorted(report.mistakes):
        text += f"line {number}: {find.kind} {what}, characters {find.start} to {find.end}\n"
    return text


def _row(kind: str, score: Score) -> list[Any]:
    figures = (score.precision, score.recall)
    return [kind, *("-" if each is None else f"{each:.3f}" for each in figures), score.right, score.wrong, score.missed]
