"""Prometheus metrics, all from finished records. Labels hold configured names only, never a client's words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from llmedge._version import __version__
from llmedge.errors import EdgeError
from llmedge.model import Clock, Standing
from llmedge.money import USD, text
from llmedge.observe import fast_metrics
from llmedge.observe.fast_metrics import FastRegistry, LastLabel
from llmedge.record import FACTS, PROMPT_CACHE_SAVED, Attempt, Fact, Record

_SMALL = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1)
CALLERS = 10_000
"""Callers that are shown by name; of an issuer's subjects there may be any number."""


class Metrics:
    """All metrics of one process.

    :param registry: where they live; a new one for each service.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of no use
        self._registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        call = ["operation", "provider", "model"]
        self._tallies = tallies = FastRegistry(registry)
        counter, histogram = tallies.counter, tallies.histogram
        self._requests = counter(
            "llm_requests_total", "Inference requests answered, refused ones included.", [*call, "status"]
        )
        self._duration = histogram("llm_request_duration_seconds", "First byte in to last byte out.", call)
        self._first_token = histogram("llm_time_to_first_token_seconds", "First byte in to first content out.", call)
        self._overhead = histogram(
            "llm_overhead_seconds", "First byte in to last byte out, less the wait for vendors.", call, _SMALL
        )
        self._upstream = histogram("llm_upstream_duration_seconds", "One attempt at a vendor.", ["provider", "outcome"])
        self._attempts = counter("llm_upstream_attempts_total", "Attempts at vendors.", ["provider", "outcome"])
        self._deployment_attempts = counter(
            "llm_deployment_attempts_total", "Attempts at deployments.", ["deployment", "outcome"]
        )
        self._deployment_queue = histogram(
            "llm_deployment_queue_seconds",
            "How long calls waited for a turn, or in vain.",
            ["deployment"],
        )
        self._tokens = counter("llm_tokens_total", "Tokens by kind.", [*call, "kind"])
        self._estimated = counter(
            "llm_usage_estimated_total", "Answers whose tokens were estimated, because the vendor told none.", call
        )
        self._cost = tallies.exact_counter(
            "llm_cost_usd_total", "What answers and attempts in vain cost, in USD.", [*call, "caller"], text
        )
        spent = "What answers and attempts in vain cost, by who asked."
        self._by_caller = (
            counter("llm_caller_requests_total", "Inference requests answered, by who asked.", ["caller"]),
            counter("llm_caller_tokens_total", "Tokens, by who asked.", ["caller", "kind"]),
            tallies.exact_counter("llm_caller_cost_usd_total", spent, ["caller"], text),
        )
        self._unpriced = counter(
            "llm_cost_unknown_total", "Answers and attempts in vain that may be billed at a price not known.", call
        )
        self._cache_saved = tallies.exact_counter(
            "llm_prompt_cache_saved_usd_total", "What vendors' prompt caches saved, in USD.", call, text
        )
        self._cache_extra = tallies.exact_counter(
            "llm_prompt_cache_extra_usd_total",
            "What answers cost more because their prompts were written to vendors' caches, in USD.",
            call,
            text,
        )
        self._errors = LastLabel(counter("llm_errors_total", "Requests that ended in an error, by code.", ["code"]))
        self.auth_failures = LastLabel(
            counter("llm_auth_failures_total", "Requests of which nobody knows who sent them, by why.", ["reason"])
        )
        for reason in ("missing", "invalid", "expired"):
            self.auth_failures[reason].value = 0.0
        self._ended = LastLabel(counter("llm_streams_total", "Streams by how they ended.", ["outcome"]))
        self._facts = _fact_counters(counter)
        self._tick = histogram(
            "llm_reactor_tick_delay_seconds", "How late the event loop runs a timer.", [], _SMALL
        ).labels()
        self._gauges(registry)
        self._callers: set[str] = set()
        self._children: dict[tuple[str, str, str, str], _CallMetrics] = {}
        self._deployments: dict[tuple[str, str, str], _AttemptMetrics] = {}
        self._standings: Callable[[], list[Standing]] = list
        self._label: Callable[[str], str] = lambda name: f"{name.partition('/')[0]}/*"
        self._rendering = Lock()

    def _gauges(self, registry: CollectorRegistry) -> None:
        """What is not counted by the reactor's thread alone: prometheus-client's own."""
        in_flight = Gauge("llm_requests_in_flight", "Inference requests under way.", registry=registry)
        self.show_calls: Callable[[Callable[[], float]], None] = in_flight.set_function
        self._deployment_gauges = [
            Gauge(name, doc, ["deployment"], registry=registry)
            for name, doc in (
                ("llm_deployment_state", "Circuit breaker: 0 closed, 1 half open, 2 open."),
                ("llm_deployment_in_flight", "Calls under way."),
                ("llm_deployment_waiting", "Calls that wait for their turn."),
                ("llm_deployment_limit", "Calls at once it is given, configured or learned."),
                ("llm_deployment_rate", "Calls a second it is given, configured or learned."),
                ("llm_deployment_pause_seconds", "Seconds until it may be asked again, where it said when."),
                ("llm_deployment_failing_ratio", "Share of the calls of the last ten seconds that failed."),
            )
        ]
        self.lost_spans = Counter(
            "llm_trace_spans_lost_total", "Spans dropped or not taken by the collector.", registry=registry
        )
        Gauge("llm_build_info", "Version in its label.", ["version"], registry=registry).labels(__version__).set(1)

    def __call__(self, record: Record) -> None:
        """Count one finished request."""
        for fact, value in record.facts.items():
            if (counter := self._facts.get(fact)) is not None:
                counter.labels(value if value in fact.values else "other").inc()
        if not record.operation:
            return
        if record.error_code:
            self._errors[record.error_code if record.error_code in EdgeError.codes else "VENDOR_ERROR"].value += 1.0
        by = record.routing.answered_by or record.routing.deciding_attempt  # the first is nearly always there
        caller = record.caller if record.caller in self._callers else self._shown(record.caller)
        key = (record.operation, "none" if by is None else by.target.provider, record.model_label, caller)
        metrics = self._children.get(key)
        if metrics is None:
            metrics = self._children[key] = _CallMetrics(self, key[:3], self.caller(caller), caller)
        metrics.count(record, by)
        if len(record.routing.attempts) > 1:
            self._count_others(record, by, caller)
        for attempt in record.routing.attempts:
            if attempt.ended is not None:
                target = attempt.target
                at = (target.provider, target.model, attempt.outcome)
                tallies = self._deployments.get(at) or self._at_deployment(attempt, at)
                tallies.attempts.value += 1.0
                tallies.at_deployment.value += 1.0
                tallies.duration.observe(attempt.ended - attempt.started)
                if attempt.queued:
                    self._deployment_queue.labels(self._label(str(attempt.target))).observe(attempt.queued)
        for skipped in record.routing.skipped:
            if skipped.queued:
                self._deployment_queue.labels(self._label(skipped.target)).observe(skipped.queued)
        if record.stream and record.first_event is not None:
            self._ended[record.outcome].value += 1.0

    def caller(self, name: str) -> _CallerMetrics:
        """The counters of a caller, at 0 from now on: what counts up from nothing is missing in ``increase()``."""
        requests, tokens, cost = self._by_caller
        if not name:  # refused, for nobody knows who it is: not shown
            return _CallerMetrics(*(fast_metrics.CounterChild() for _ in range(4)))
        labels = tokens.labels
        return _CallerMetrics(requests.labels(name), labels(name, "input"), labels(name, "output"), cost.labels(name))

    def _count_others(self, record: Record, by: Attempt | None, name: str) -> None:
        """Tokens and cost of attempts whose answer the client did not get, at their provider."""
        caller = self.caller(name)
        for attempt in record.routing.attempts:
            if attempt is by:
                continue
            key = (record.operation, attempt.target.provider, record.model_label)
            if attempt.cost:
                self._cost.labels(*key, name).inc(attempt.cost)
                caller.cost.value += attempt.cost
            if attempt.unpriced:
                self._unpriced.labels(*key).inc()
            if (used := attempt.usage) is not None:
                for kind, count in (("input", used.input), ("output", used.output)):
                    if count:
                        self._tokens.labels(*key, kind).inc(count)
                caller.input.value += used.input
                caller.output.value += used.output

    def _shown(self, caller: str) -> str:
        """Under which name a caller is counted that was not counted yet."""
        if len(self._callers) >= CALLERS:
            return "other"
        self._callers.add(caller)
        return caller

    def _at_deployment(self, attempt: Attempt, key: tuple[str, str, str]) -> _AttemptMetrics:
        target, outcome = attempt.target, attempt.outcome
        if len(self._deployments) >= 1000:  # clients can ask for any name where there is a pattern
            self._deployments.clear()
        tallies = self._deployments[key] = _AttemptMetrics(
            self._upstream.labels(target.provider, outcome),
            self._attempts.labels(target.provider, outcome),
            self._deployment_attempts.labels(self._label(str(target)), outcome),
        )
        return tallies

    def show(self, collector: Any) -> None:
        """Where more metrics come from, in Prometheus' own form (``collect``)."""
        self._registry.register(collector)

    def show_deployments(self, standings: Callable[[], list[Standing]], label: Callable[[str], str]) -> None:
        """Where the state of deployments is read when somebody asks, so that calls cost nothing for it.

        :param standings: gives that of each.
        :param label: the bounded label of a deployment's name.
        """
        self._standings = standings
        self._label = label
        self._deployments.clear()

    def render(self) -> bytes:
        """The exposition text (Prometheus text format 0.0.4). May take milliseconds: not for the reactor thread."""
        with self._rendering:
            shown: dict[str, Standing] = {}
            for each in self._standings():
                before = shown.get(each.label)
                shown[each.label] = each if before is None else _together(before, each)
            for gauge in self._deployment_gauges:
                gauge.clear()
            for label, standing in shown.items():
                for gauge, figure in zip(self._deployment_gauges, standing[1:], strict=True):
                    gauge.labels(label).set(figure)
            self._tallies.exactly = True
            try:
                return generate_latest(self._registry) + self._tallies.exact().encode()
            finally:
                self._tallies.exactly = False

    def watch_ticks(self, clock: Clock, interval: float = 0.5) -> Callable[[], None]:
        """Measure how late timers fire, until the function returned is called."""
        state: dict[str, Any] = {}

        def tick() -> None:
            now = clock.seconds()
            self._tick.observe(max(0.0, now - state["due"]))
            schedule()

        def schedule() -> None:
            state["due"] = clock.seconds() + interval
            state["call"] = clock.callLater(interval, tick)

        schedule()
        return lambda: state["call"].cancel()


def _together(one: Standing, other: Standing) -> Standing:
    """Of two that share a label: the sum of their calls, else the worst of both."""
    return Standing(
        one.label,
        max(one.state, other.state),
        one.in_flight + other.in_flight,
        one.waiting + other.waiting,
        min(one.limit, other.limit),
        min(one.rate, other.rate),
        max(one.pause, other.pause),
        max(one.failing, other.failing),
    )


class _AttemptMetrics(NamedTuple):
    """The children of one (target, outcome), looked up once."""

    duration: fast_metrics.HistogramChild
    attempts: fast_metrics.CounterChild
    at_deployment: fast_metrics.CounterChild


def _fact_counters(counter: Callable[[str, str, list[str]], fast_metrics.Counter]) -> dict[Fact, fast_metrics.Counter]:
    """Of the facts that have a metric, each value at 0."""
    found: dict[Fact, fast_metrics.Counter] = {}
    for fact in FACTS:
        if fact.metric is not None:
            name, label = fact.metric
            found[fact] = counter(name, f"Requests by {fact.doc}.", [label])
            for value in fact.values:
                found[fact].labels(value)
    return found


class _CallerMetrics(NamedTuple):
    """The children of one caller."""

    requests: fast_metrics.CounterChild
    input: fast_metrics.CounterChild
    output: fast_metrics.CounterChild
    cost: fast_metrics.CounterChild


class _CallMetrics:
    """The children of one (operation, provider, model) and caller, looked up once."""

    def __init__(self, metrics: Metrics, key: tuple[str, str, str], caller: _CallerMetrics, name: str) -> None:
        self._metrics = metrics
        self._key = key
        self._duration = metrics._duration.labels(*key)
        self._overhead = metrics._overhead.labels(*key)
        self._first_token = metrics._first_token.labels(*key)
        self._requests = LastLabel(metrics._requests, *key)
        self._tokens = LastLabel(metrics._tokens, *key)
        self._costs = partial(metrics._cost.labels, *key, name)
        self._cost: fast_metrics.CounterChild | None = None
        self._input: fast_metrics.CounterChild | None = None
        self._output: fast_metrics.CounterChild | None = None
        self._caller_requests, self._caller_input, self._caller_output, self._caller_cost = caller

    def count(self, record: Record, by: Attempt | None) -> None:
        self._requests[record.status].value += 1.0
        self._caller_requests.value += 1.0
        took = (record.ended or record.received) - record.received
        self._duration.observe(took)
        if record.routing.attempts:
            self._overhead.observe(took - record.routing.waited if took > record.routing.waited else 0.0)
        if record.first_event is not None:
            self._first_token.observe(record.first_event - record.received)
        if by is None:
            if record.accounting.kept and record.accounting.cost:  # what the cache charges no vendor has had
                self._caller_cost.value += record.accounting.cost
            return
        if (usage := by.usage) is not None:
            if self._input is None or self._output is None:
                self._input, self._output = self._tokens["input"], self._tokens["output"]
            self._input.value += (read := usage.input)
            self._caller_input.value += read
            self._output.value += (written := usage.output)
            self._caller_output.value += written
            if usage.cached or usage.reasoning or usage.cache_write or usage.audio_input or usage.audio_output:
                for kind in ("cached", "reasoning", "cache_write", "audio_input", "audio_output"):
                    self._tokens[kind].value += getattr(usage, kind)
                if saved := record.facts.get(PROMPT_CACHE_SAVED):
                    counter = self._metrics._cache_saved if saved > 0 else self._metrics._cache_extra
                    counter.labels(*self._key).inc(round(abs(saved) * USD))
            if usage.estimated:
                self._metrics._estimated.labels(*self._key).inc()
        if by.unpriced:
            self._metrics._unpriced.labels(*self._key).inc()
        if by.cost is not None:
            if self._cost is None:
                self._cost = self._costs()
            self._cost.value += by.cost
            self._caller_cost.value += by.cost
