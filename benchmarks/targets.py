"""What the figures are to be, and the tables that show both."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]

HEADINGS = {
    "requests_per_second": "req/s",
    "per_second": "per s",
    "events_per_second": "events/s",
    "events_sent_per_second": "sent/s",
    "cpu_us": "CPU us",
    "percent_of_off": "% of off",
    "cpu_us_per_event": "us/event",
    "cores": "cores",
    "waited": "waited",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p99.9_ms": "p99.9 ms",
    "max_ms": "max ms",
    "rss_mb_before": "MB before",
    "rss_mb": "RSS MB",
    "kb_each": "kB each",
    "growth_percent": "% more",
    "protocol": "protocol",
    "errors": "errors",
}
"""The figures that have a column; the others are in the JSON alone."""


@dataclass(frozen=True)
class Target:
    """What one figure is to be, at most or ``at_least``."""

    row: str
    figure: str
    limit: float
    unit: str
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,g} {self.unit}"


def targets(streams: int) -> list[Target]:
    """All of them, with that many streams at once."""
    return [
        Target("proxied chat", "cpu_us", 100, "us CPU"),
        Target("proxied chat", "requests_per_second", 8000, "a second", at_least=True),
        Target("proxied chat, 1 at once", "added_p50_ms", 0.25, "ms added at p50"),
        Target("proxied chat, 1 at once", "added_p99_ms", 1, "ms added at p99"),
        Target("60-event stream", "cpu_us", 200, "us CPU"),
        Target("chat, hit", "percent_of_off", 60, "% of a proxied chat"),
        Target("60-event stream, hit", "percent_of_off", 40, "% of a proxied stream"),
        Target("chat, miss", "percent_of_off", 108, "% of a proxied chat"),
        Target("60-event stream, miss", "percent_of_off", 108, "% of a proxied stream"),
        Target("health", "requests_per_second", 20_000, "a second", at_least=True),
        Target("401", "cpu_us", 40, "us CPU"),
        Target("429", "cpu_us", 40, "us CPU"),
        Target("dripping, passed", "cpu_us_per_event", 15, "us CPU an event"),
        Target("dripping, translated", "cpu_us_per_event", 25, "us CPU an event"),
        Target("dripping, passed", "p99_ms", 50, "ms delay at p99"),
        Target("dripping, passed", "rss_mb", 40 + 0.03 * streams, "MB RSS"),
        Target("idle connections", "kb_each", 15, "kB each"),
        Target("start", "ready_seconds", 0.7, "s to ready"),
        Target("start", "rss_mb", 50, "MB RSS"),
        Target("many calls", "growth_percent", 5, "% more RSS"),
        Target("handshake, full", "cpu_us", 1000, "us CPU"),
        Target("handshake, resumed", "cpu_us", 1000, "us CPU"),
        Target("chat, HTTP/2 with TLS", "requests_per_second", 3000, "a second", at_least=True),
    ]


def judge(rows: Rows, wanted: list[Target]) -> list[dict[str, Any]]:
    """Each target beside its figure; ``None`` where that was not measured, with the reason if one is known."""
    judged = []
    for target in wanted:
        row = rows.get(target.row, {})
        value = row.get(target.figure)
        found = {"row": target.row, "figure": target.figure, "target": str(target), "value": value}
        found |= {"met": None if value is None else target.met(value)}
        why = row.get(f"{target.figure}_why") or row.get("not_measured", "its part did not run, or failed")
        judged.append(found | {"why": why} if value is None else found)
    return judged


def show(title: str, rows: Rows) -> None:
    """A table of rows, with the columns they have."""
    columns = [name for name in HEADINGS if any(name in row for row in rows.values())]
    print(f"\n{title:26}" + "".join(f"{HEADINGS[name]:>10}" for name in columns))
    for row, figures in rows.items():
        cells = ("" if figures.get(name) is None else figures[name] for name in columns)
        line = "".join(f"{cell:>10}" for cell in cells)
        print(f"{row:26}" + (f"  not measured: {figures['not_measured']}" if "not_measured" in figures else line))
    sys.stdout.flush()


def show_targets(judged: list[dict[str, Any]]) -> None:
    """Targets beside figures."""
    print(f"\n{'targets':26}{'figure':>12}  target")
    for each in judged:
        if each["value"] is None:
            print(f"{each['row']:26}{'':>12}  {each['target']:26}not measured: {each['why']}")
        else:
            print(f"{each['row']:26}{each['value']:>12,}  {each['target']:26}{'met' if each['met'] else 'MISSED'}")
