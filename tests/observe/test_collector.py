"""What is said of a collector that does not answer."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from twisted.trial.unittest import SynchronousTestCase

from llmedge.observe import tracing
from llmedge.observe.collector import Collector


class Complaints(SynchronousTestCase):
    def test_said_once(self) -> None:
        """One line when it stops answering, one when it answers again; a kind it never takes does not take turns."""
        said: list[Any] = []
        collector = Collector("http://c", lambda write, text, **more: said.append(write.__name__))
        for _ in range(3):
            collector.told("spans", False)
            collector.told("metrics", False)
        self.assertEqual(said, ["warn"])
        collector.told("metrics", True)
        collector.told("spans", True)
        self.assertEqual(said, ["warn", "info"])
        for _ in range(3):
            collector.told("metrics", False)
            collector.told("spans", True)
        self.assertEqual(said, ["warn", "info", "warn"])

    def test_an_exporter_that_raises(self) -> None:
        """Its spans are lost, and counted."""
        lost: list[float] = []

        class Broken(InMemorySpanExporter):
            def export(self, spans: Any) -> SpanExportResult:
                raise ValueError

        spans = tracing._Spans(Broken(), Collector("c", lambda *a, **kw: None), lost.append)
        self.assertIs(spans.export([object()] * 4), SpanExportResult.FAILURE)  # type: ignore[list-item]
        self.assertEqual(lost, [4])
