"""How good guardrails are at labelled lines: what ``llmedge guard test`` says.

A line is a JSON object: ``text``, and in ``spans`` what is to be found in it, ``[start, end, kind]`` each; or whether
it is an ``injection``. A line with no spans is a trap: nothing is to be found there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import attrs
import msgspec

from llmedge.guards.cuts import resolved
from llmedge.guards.interfaces import Detector, Find
from llmedge.guards.redaction import looked_at


class Line(msgspec.Struct):
    """One line of a file of samples."""

    text: str
    spans: list[tuple[int, int, str]] | None = None
    injection: bool | None = None


def lines(path: str) -> list[Line]:
    """The lines of a file.

    :raises ValueError: it cannot be read, or a line is none; the message is a sentence.
    """
    try:
        rows = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    found = []
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            line = msgspec.json.decode(row, type=Line)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}, line {number} is not labelled: {error}") from None
        if line.spans is None and line.injection is None:
            raise ValueError(f'{path}, line {number} is not labelled: it has neither "spans" nor "injection"')
        found.append(line)
    if not found:
        raise ValueError(f"{path} has no lines")
    return found


@attrs.define
class Score:
    """Of one kind, or of all: finds that were to be made, were not to be made, were not made."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        """Part of what was found that is right; ``None``: nothing was found."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Part of what is there that was found; ``None``: nothing is there."""
        return self.right / (self.right + self.missed) if self.right + self.missed else None


@attrs.define
class Report:
    """What came of trying some detectors.

    :ivar kinds: kind → its score. ``apart``: kinds in the labels that none of them looks for → how many.
    :ivar traps: lines in which nothing is to be found; ``flagged``: of these, how many something was found in.
    :ivar mistakes: number of the line (among those tried, from 1), ``wrong`` or ``missed``, find.
    :ivar micros: CPU time for 1,000 characters, in microseconds.
    """

    kinds: dict[str, Score] = attrs.field(factory=dict)
    apart: dict[str, int] = attrs.field(factory=dict)
    traps: int = 0
    flagged: int = 0
    mistakes: list[tuple[int, str, Find]] = attrs.field(factory=list)
    micros: float = 0.0

    @property
    def all(self) -> Score:
        scores = self.kinds.values()
        return Score(sum(s.right for s in scores), sum(s.wrong for s in scores), sum(s.missed for s in scores))


def tried(
    detectors: Sequence[Detector],
    samples: Iterable[Line],
    known: frozenset[str],
    clock: Callable[[], float] = process_time,
) -> Report:
    """Have ``detectors`` look at ``samples`` together.

    :param known: kinds that they look for.
    """
    report = Report(kinds={kind: Score() for kind in sorted(known)})
    labelled = [each for each in samples if each.spans is not None]
    for number, line in enumerate(labelled, 1):
        found = _found(detectors, line.text)
        _compared(report, number, {Find(*each) for each in line.spans or ()}, set(found))
        if not line.spans:
            report.traps += 1
            report.flagged += bool(found)
    if characters := sum(len(each.text) for each in labelled):
        report.micros = min(_seconds(detectors, labelled, clock) for _ in range(3)) * 1e9 / characters
    return report


def _found(detectors: Iterable[Detector], text: str) -> list[Find]:
    return resolved([find for each in detectors for window in looked_at(each, text) for find in window])


def _seconds(detectors: Sequence[Detector], labelled: Iterable[Line], clock: Callable[[], float]) -> float:
    begun = clock()
    for line in labelled:
        _found(detectors, line.text)
    return clock() - begun


def _compared(report: Report, number: int, wanted: set[Find], found: set[Find]) -> None:
    for each in wanted:
        if each.kind not in report.kinds:
            report.apart[each.kind] = report.apart.get(each.kind, 0) + 1
        elif each in found:
            report.kinds[each.kind].right += 1
        else:
            report.kinds[each.kind].missed += 1
            report.mistakes.append((number, "missed", each))
    for each in found - wanted:
        report.kinds.setdefault(each.kind, Score()).wrong += 1
        report.mistakes.append((number, "wrong", each))


def as_document(report: Report) -> Mapping[str, Any]:
    """For JSON."""
    return {
        "kinds": {kind: _score(score) for kind, score in report.kinds.items()},
        "all": _score(report.all),
        "apart": report.apart,
        "traps": report.traps,
        "traps_flagged": report.flagged,
        "micros_per_1000_characters": round(report.micros, 1),
        "mistakes": [
            {"line": number, "is": what, "start": find.start, "end": find.end, "kind": find.kind}
            for number, what, find in sorted(report.mistakes)
        ],
    }


def _score(score: Score) -> dict[str, Any]:
    figures = {"precision": score.precision, "recall": score.recall}
    return attrs.asdict(score) | {name: each if each is None else round(each, 4) for name, each in figures.items()}
