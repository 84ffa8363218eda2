"""OpenTelemetry: spans and metrics from finished records. The only file that imports ``opentelemetry``.

Names follow the semantic conventions for HTTP and for generative AI (opentelemetry.io/docs/specs/semconv). Ids are
made when a request comes in, so that a vendor gets them; spans are built when it is over. Of what was said
nothing is exported unless ``tracing.capture_content`` is on: no prompt, no answer, no error text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from llmedge._version import __version__
from llmedge.config import ConfigError
from llmedge.config.sections.tracing import Tracing as Settings
from llmedge.config.sections.upstream import Upstream
from llmedge.observe import traceparent
from llmedge.observe.collector import Chatter, Collector
from llmedge.observe.collector_way import grpc_way, http_way
from llmedge.record import Attempt, Content, Record, TraceContext

try:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExporter,
        MetricExportResult,
        MetricsData,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
except ImportError as error:
    problem = f"tracing is on (tracing.enabled, ENABLE_TRACING), but {error.name} is not installed"
    raise ConfigError([f"{problem}: pip install 'llmedge[otel]'"]) from None

QUEUE = 2048
"""Spans held while the collector does not take them; beyond that the newest are dropped, and counted."""
PATIENCE = 5.0
"""Seconds one export may take, repetitions included."""
GOODBYE = 2.0
"""Seconds that stopping may take for what is still to be exported."""
_DEFAULT = Upstream()
_SCOPE = InstrumentationScope("llmedge", __version__)
_OPERATIONS = {"chat": "chat", "text": "text_completion"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
# The boundaries the conventions ask for.
_TOKENS = [4**power for power in range(14)]
_SECONDS = [0.01 * 2**power for power in range(14)]
_FIRST = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


def connect(settings: Settings, upstream: Upstream = _DEFAULT) -> tuple[SpanExporter, MetricExporter]:
    """The exporters for the collector. Headers, certificates and compression: the ``OTEL_EXPORTER_OTLP_*`` variables.

    :raises ConfigError: the exporter's package is missing, or cannot go the way that ``upstream`` says.
    """
    package = f"opentelemetry.exporter.otlp.proto.{settings.transport}"
    try:
        spans = import_module(f"{package}.trace_exporter").OTLPSpanExporter
        metrics = import_module(f"{package}.metric_exporter").OTLPMetricExporter
    except ImportError as error:
        raise ConfigError([f"tracing needs {error.name}: pip install 'llmedge[otel]'"]) from None
    to, of_metrics = settings.places
    if settings.transport == "grpc":
        ways = (grpc_way(to, upstream), grpc_way(of_metrics, upstream))
    else:
        ways = (http_way(to, upstream), http_way(of_metrics, upstream))
        if not settings.traces_endpoint:
            to = f"{to.removesuffix('/v1/traces')}/v1/traces"
        if not settings.metrics_endpoint:
            of_metrics = f"{of_metrics.removesuffix('/v1/traces')}/v1/metrics"
    return spans(to, timeout=PATIENCE, **ways[0]), metrics(of_metrics, timeout=PATIENCE, **ways[1])


class Tracing:
    """Makes the ids of a request's trace, and exports its spans and metrics when it is over.

    :param lost: told how many spans were lost; from any thread.
    :param upstream: through which proxy the collector is reached, and whom to trust.
    """

    def __init__(
        self,
        settings: Settings,
        lost: Callable[[float], None] = lambda count: None,
        upstream: Upstream = _DEFAULT,
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._lost = lost
        self.provider_names: Mapping[str, str] = {}
        """Provider → ``gen_ai.provider.name``; what is not here goes by its own name."""
        self._resource = Resource.create({"service.name": "llmedge", "service.version": __version__}).merge(
            OTELResourceDetector().detect()
        )
        self._processor: BatchSpanProcessor | None = None
        self._reactor: Any = None

    def begin(self, headers: Headers) -> TraceContext:
        """The trace a request with ``headers`` belongs to."""
        return traceparent.begin(headers, self._settings.sample_ratio, self._settings.capture_content)

    def start(self, reactor: Any) -> None:
        """Begin to export. Starts threads: not before the process has forked (``twistd``).

        :raises ConfigError: the exporter's package is missing.
        """
        if self._processor is not None:
            return
        spans, metrics = connect(self._settings, self._upstream)
        self._reactor = reactor
        self._chatter = Chatter(reactor)
        self._collector = Collector(self._settings.places[0], reactor.callFromThread)
        self._spans = _Spans(spans, self._collector, self._lost)
        self._processor = BatchSpanProcessor(self._spans, max_queue_size=2 * QUEUE)
        self._reader = PeriodicExportingMetricReader(_Metrics(metrics, self._collector))
        self._meters = MeterProvider([self._reader], self._resource, shutdown_on_exit=False)
        meter = self._meters.get_meter("llmedge", __version__)

        def histogram(name: str, unit: str, doc: str, buckets: Sequence[float]) -> Any:
            return meter.create_histogram(name, unit, doc, explicit_bucket_boundaries_advisory=buckets)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", "Tokens of a call, by type.", _TOKENS)
        self._operation = histogram("gen_ai.client.operation.duration", "s", "One attempt at a vendor.", _SECONDS)
        self._duration = histogram("gen_ai.server.request.duration", "s", "First byte in to last byte out.", _SECONDS)
        self._first = histogram(
            "gen_ai.server.time_to_first_token", "s", "First byte in to a stream's first content out.", _FIRST
        )

    def flush(self) -> None:
        """Export now what is waiting. Blocks: not for the reactor's thread."""
        if self._processor is not None:
            self._processor.force_flush()
            self._meters.force_flush()

    def stop(self) -> Deferred[None]:
        """Export what is waiting, off the reactor's thread, and give up after ``GOODBYE`` seconds."""
        processor, self._processor = self._processor, None
        if processor is None:
            return succeed(None)
        done: Deferred[None] = Deferred()

        def work() -> None:
            # Not of the reactor's pool, which is waited for: these threads end with the process.
            meters = threading.Thread(target=self._meters.shutdown, args=(GOODBYE * 1000,), daemon=True)
            meters.start()
            processor.shutdown()  # type: ignore[no-untyped-call]
            meters.join()
            self._reactor.callFromThread(done.callback, None)  # after a time-out, it goes nowhere

        threading.Thread(target=work, name="llmedge-tracing-stop", daemon=True).start()
        done.addTimeout(GOODBYE, self._reactor).addErrback(Failure.trap, TimeoutError)
        return done.addCallback(lambda _: self._chatter.close())

    def __call__(self, record: Record) -> None:
        """Export one finished request."""
        if self._processor is None or record.trace is None:
            return
        if record.operation:
            self._measure(record)
        if record.trace.flags & 1:
            for span in self._build(record, record.trace):
                if self._spans.admit():
                    self._processor.on_end(span)

    # Metrics

    def _measure(self, record: Record) -> None:
        common = {"gen_ai.operation.name": _operation(record), "gen_ai.request.model": record.model_label}
        by = record.routing.deciding_attempt
        for attempt in record.routing.attempts:
            ended = attempt.ended or record.ended or attempt.started
            self._operation.record(
                max(0.0, ended - attempt.started), common | self._provider(attempt) | _error(_attempt_error(attempt))
            )
        if by is not None:
            common |= self._provider(by)
        self._duration.record(
            max(0.0, (record.ended or record.received) - record.received), common | _error(_server_error(record))
        )
        if record.stream and record.first_event is not None:
            self._first.record(max(0.0, record.first_event - record.received), common)
        if record.accounting.usage is not None:
            self._tokens.record(record.accounting.usage.input, common | {"gen_ai.token.type": "input"})
            self._tokens.record(record.accounting.usage.output, common | {"gen_ai.token.type": "output"})

    # Spans

    def _build(self, record: Record, trace: TraceContext) -> list[ReadableSpan]:
        state = TraceState.from_header([trace.tracestate]) if trace.tracestate else None

        def context(span_id: str, remote: bool = False) -> SpanContext:
            return SpanContext(int(trace.trace_id, 16), int(span_id, 16), remote, TraceFlags(trace.flags), state)

        def span(
            name: str, span_id: str, parent: SpanContext | None, error: str, start: float, end: float, **more: Any
        ) -> ReadableSpan:
            return ReadableSpan(
                name,
                context(span_id),
                parent,
                self._resource,
                status=Status(StatusCode.ERROR) if error else Status(),
                start_time=_ns(start),
                end_time=_ns(max(start, end)),
                instrumentation_scope=_SCOPE,
                **more,
            )

        over = record.ended or record.received
        method = record.method if record.method in _METHODS else "_OTHER"
        named = method if method != "_OTHER" else "HTTP"
        failed = _server_error(record)
        spans = [
            span(
                f"{named} {record.route}" if record.route != "other" else named,
                trace.span_id,
                context(trace.parent_id, remote=True) if trace.parent_id else None,
                "" if failed == "client_closed" else failed,
                record.received,
                over,
                kind=SpanKind.SERVER,
                attributes=_server_attributes(record, method, failed),
                events=_decisions(record),
            )
        ]
        inside = context(trace.span_id)
        for attempt in record.routing.attempts:
            failed = _attempt_error(attempt)
            first = attempt.first_event
            spans.append(
                span(
                    f"{_operation(record)} {attempt.target.model}",
                    attempt.span_id,
                    inside,
                    "" if failed == "aborted" else failed,
                    attempt.started,
                    attempt.ended or over,
                    kind=SpanKind.CLIENT,
                    attributes=_attempt_attributes(record, attempt) | self._provider(attempt),
                    events=() if first is None else (Event("first token", timestamp=_ns(first)),),
                )
            )
        return spans

    def _provider(self, attempt: Attempt) -> dict[str, str]:
        name = attempt.target.provider
        return {"gen_ai.provider.name": self.provider_names.get(name, name)}


def _operation(record: Record) -> str:
    return _OPERATIONS.get(record.operation, record.operation)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _error(failed: str) -> dict[str, str]:
    return {"error.type": failed} if failed else {}


def _attempt_error(attempt: Attempt) -> str:
    if attempt.outcome == "ok":
        return ""
    return str(attempt.status) if attempt.status and attempt.status >= 400 else attempt.outcome or "aborted"


def _server_error(record: Record) -> str:
    """``error.type`` of our own span: a client's mistake (4xx) is none of the server's."""
    if record.status >= 500:
        return str(record.status)
    return "" if record.outcome == "ok" or (record.outcome == "error" and record.status >= 400) else record.outcome


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _server_attributes(record: Record, method: str, failed: str) -> Mapping[str, Any]:
    attributes = {
        "http.request.method": method,
        "http.request.method_original": record.method if method == "_OTHER" else None,
        "http.response.status_code": record.status,
        "http.route": record.route if record.route != "other" else None,
        "client.address": record.peer,
        "error.type": failed or None,
        "gen_ai.request.model": record.model or None,
        "llmedge.request_id": record.request_id,
        "llmedge.outcome": record.outcome,
        "llmedge.caller": record.caller or None,
        "llmedge.stream": record.stream if record.model else None,
    }
    return _known(attributes) | {fact.attribute: value for fact, value in record.facts.items() if fact.attribute}


def _decisions(record: Record) -> tuple[Event, ...]:
    """Who was passed over, and why more than one attempt was made. Our words only, no vendor's."""
    events = [
        Event("passed over", {"llmedge.target": each.target, "llmedge.why": each.why}, _ns(each.at))
        for each in record.routing.skipped
    ]
    events += [
        Event(each.kind, {"llmedge.target": str(each.target)}, _ns(each.started))
        for each in record.routing.attempts
        if each.kind != "first"
    ]
    return tuple(sorted(events, key=lambda event: event.timestamp))


def _attempt_attributes(record: Record, attempt: Attempt) -> dict[str, Any]:
    usage = record.accounting.usage if attempt is record.routing.deciding_attempt else attempt.usage
    first = attempt.first_event if record.stream else None
    content = record.content or Content()
    return _known(
        {
            "gen_ai.operation.name": _operation(record),
            "gen_ai.request.model": attempt.target.model,
            "gen_ai.request.stream": record.stream,
            "gen_ai.response.time_to_first_chunk": None if first is None else first - attempt.started,
            "gen_ai.usage.input_tokens": None if usage is None else usage.input,
            "gen_ai.usage.output_tokens": None if usage is None else usage.output,
            "gen_ai.usage.cache_read.input_tokens": None if usage is None else usage.cached or None,
            "gen_ai.usage.reasoning.output_tokens": None if usage is None else usage.reasoning or None,
            "gen_ai.input.messages": content.prompt.decode() or None,
            "gen_ai.output.messages": (attempt.outcome == "ok" and content.answer.decode()) or None,
            "http.response.status_code": attempt.status,
            "error.type": _attempt_error(attempt) or None,
            "llmedge.outcome": attempt.outcome,
            "llmedge.attempt.kind": attempt.kind,
            "llmedge.cause": attempt.cause or None,
            "llmedge.queued": attempt.queued or None,
            "llmedge.queued_for": attempt.queued_for or None,
            "llmedge.connection.reused": attempt.reused,
            "llmedge.upstream_request_id": attempt.upstream_request_id or None,
        }
    )


# Exporting: the SDK's threads call these


class _Spans(SpanExporter):
    """Keeps count of the spans on the way to another exporter."""

    def __init__(self, inner: SpanExporter, collector: Collector, lost: Callable[[float], None]) -> None:
        self._inner = inner
        self._collector = collector
        self._count_lost = lost
        self._admitted = 0  # written by the reactor's thread only
        self._taken = 0  # written by the exporting thread only

    def admit(self) -> bool:
        """Whether there is room for one more span."""
        if self._admitted - self._taken >= QUEUE:
            self._lose(1)
            return False
        self._admitted += 1
        return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._taken += len(spans)
        try:
            result = self._inner.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        good = result is SpanExportResult.SUCCESS
        if not good:
            self._lose(len(spans))
        self._collector.told("spans", good)
        return result

    def _lose(self, count: int) -> None:
        self._count_lost(count)
        self._collector.lost(count)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class _Metrics(MetricExporter):
    """Tells how another exporter fares."""

    def __init__(self, inner: Any, collector: Collector) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner = inner
        self._collector = collector

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        try:
            result: MetricExportResult = self._inner.export(metrics_data, timeout_millis=timeout_millis)
        except Exception:
            result = MetricExportResult.FAILURE
        self._collector.told("metrics", result is MetricExportResult.SUCCESS)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._inner.shutdown()
