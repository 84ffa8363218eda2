"""``python -m benchmarks.weather.draw RUN.json FOLDER [SCENARIO …]``: curves of a run, an SVG a scenario.

Above what not learning came to, below what learning did: whole answers and others of each second, calls at the vendor,
those that wait, and the limit that was learned.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 720, 150, 46, 30, 46
KINDS = ("not learning", "learned")
WHOLE, OTHER, FLIGHT, WAITING, LIMIT = "#7fb77e", "#d9776b", "#2f5d8a", "#8a8a8a", "#000000"
LEGEND = (
    (WHOLE, "calls of a second: whole"),
    (OTHER, "others"),
    (FLIGHT, "calls under way"),
    (WAITING, "waiting"),
    (LIMIT, "limit"),
)

Points = Iterable[tuple[float, float | None]]


def image(name: str, kinds: dict[str, Any]) -> str:
    """The SVG of one scenario."""
    shown = [kind for kind in KINDS if kind in kinds]
    until = max(_until(kinds[kind]) for kind in shown)
    height = TOP + len(shown) * (HEIGHT + GAP) + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '  font-family="sans-serif" font-size="11">',
        f'<title>{escape(name)}</title><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{escape(name)}</text>',
    ]
    for number, kind in enumerate(shown):
        parts += _panel(kind, kinds[kind], until, TOP + number * (HEIGHT + GAP))
    parts += _legend(height - 8)
    return "\n".join([*parts, "</svg>", ""])


def _until(kind: dict[str, Any]) -> float:
    return float(max((row[0] + 1 for row in kind["answers"]), default=1.0))


def _panel(kind: str, found: dict[str, Any], until: float, top: float) -> Iterable[str]:
    samples, answers, figures = found["samples"], found["answers"], found["figures"]
    highest = [max(each["in_flight"], each["waiting"]) for each in samples]
    most = max([1.0, *highest, *(good + bad for _, good, bad in answers)]) * 1.05

    def x(at: float) -> float:
        return LEFT + at / until * (WIDTH - LEFT - 10)

    def y(value: float) -> float:
        return top + 14 + HEIGHT * (1 - min(value, most) / most)

    whole, p99, calls = (figures[name] for name in ("whole", "p99", "calls"))
    said = f"{kind}: {whole:.1%} whole, 99th percentile {p99:.1f} s, {calls:.2f} vendor calls a call"
    yield f'<text x="{LEFT}" y="{top + 8:.0f}">{escape(said)}</text>'
    each = x(1) - x(0)
    for at, good, bad in answers:
        for value, base, colour in ((good, 0, WHOLE), (bad, good, OTHER)):
            if value:
                high = y(base) - y(base + value)
                yield (
                    f'<rect x="{x(at):.1f}" y="{y(base + value):.1f}" width="{each * 0.9:.1f}" '
                    f'height="{high:.1f}" fill="{colour}"/>'
                )
    for key, colour, dash in (("waiting", WAITING, "2 2"), ("in_flight", FLIGHT, ""), ("limit", LIMIT, "5 3")):
        for line in _lines((sample["at"], sample[key]) for sample in samples):
            places = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line)
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.4"{dashes}/>'
    yield f'<line x1="{LEFT}" y1="{y(0):.1f}" x2="{WIDTH - 10}" y2="{y(0):.1f}" stroke="#444444"/>'
    for value in (0.0, most / 1.05):
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f}</text>'
    for second in range(0, int(until) + 1, 10 if until > 20 else 5):
        yield f'<text x="{x(second):.1f}" y="{y(0) + 14:.1f}" text-anchor="middle">{second} s</text>'


def _lines(points: Points) -> Iterable[Sequence[tuple[float, float]]]:
    """The unbroken pieces of a curve."""
    piece: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            piece.append((at, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _legend(y: float) -> Iterable[str]:
    x = float(LEFT)
    for colour, text in LEGEND:
        yield f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="10" height="8" fill="{colour}"/>'
        yield f'<text x="{x + 14:.0f}" y="{y:.0f}">{text}</text>'
        x += 30 + 6.2 * len(text)


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    document = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, kinds in document["scenarios"].items():
        plain = name.partition(":")[0]
        if sys.argv[3:] and plain not in sys.argv[3:]:
            continue
        (folder / f"{plain.replace('_', '-')}.svg").write_text(image(name, kinds))


if __name__ == "__main__":
    main()
