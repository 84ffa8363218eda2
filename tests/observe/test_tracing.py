"""Spans and metrics as a collector gets them; what is exported lands in memory here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import tests
from llmedge.banner import banner
from llmedge.config import ConfigError
from llmedge.config.sections import tracing as section
from llmedge.config.sections.tracing import Tracing as Settings
from llmedge.observe import tracing
from llmedge.service import EdgeService, StartError
from tests.fakes import CHAT, Edge, Reactor, request, settings

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COMING = f"00-{TRACE}-{PARENT}-01"
ON = "[tracing]\nenabled = true\n"
MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["mock-*"]\nlatency = 2\n'
TWO = (
    '[providers.a]\ndialect = "mock"\nfault = "status"\nfault_status = 503\n[providers.b]\ndialect = "mock"\n'
    '[models.both]\ntargets = ["a/one", "b/two"]\n'
)


class Metrics(MetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[Any]] = {}

    def export(self, metrics_data: Any, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.found[metric.name] = list(metric.data.data_points)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None: ...


class Base(SynchronousTestCase):
    def edge(self, toml: str = "", more: str = "") -> Edge:
        self.spans = InMemorySpanExporter()
        self.metrics = Metrics()
        self.patch(tracing, "connect", lambda *_: (self.spans, self.metrics))
        edge = Edge(ON + more + toml)
        edge.service.startService()
        self.tracing = edge.service._process.tracing
        self.addCleanup(lambda: self.tracing.stop())
        return edge

    def exported(self) -> list[Any]:
        self.tracing.flush()
        return list(self.spans.get_finished_spans())


class Spans(Base):
    def test_a_call(self) -> None:
        """A server span with a client span for each attempt; ids, times and attributes of the conventions."""
        edge = self.edge(MOCK)
        wire = edge.wire()
        wire.send(request(body=CHAT, headers={"traceparent": COMING, "tracestate": "a=1,b=2", "x-request-id": "r-1"}))
        edge.reactor.advance(2)
        server, attempt = self.exported()
        self.assertEqual((server.name, server.kind), ("POST /v1/chat/completions", SpanKind.SERVER))
        self.assertEqual(f"{server.context.trace_id:032x}", TRACE)
        self.assertEqual(f"{server.parent.span_id:016x}", PARENT)
        self.assertTrue(server.parent.is_remote)
        self.assertEqual(server.context.trace_state.to_header(), "a=1,b=2")
        self.assertEqual(server.status.status_code, StatusCode.UNSET)
        expected = {
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "http.response.status_code": 200,
            "client.address": "127.0.0.1",
            "llmedge.request_id": "r-1",
            "llmedge.outcome": "ok",
            "llmedge.caller": "anonymous",
        }
        self.assertLessEqual(expected.items(), server.attributes.items())
        self.assertNotIn("error.type", server.attributes)
        self.assertEqual(server.end_time - server.start_time, 2_000_000_000)
        self.assertEqual(server.start_time, 1_700_000_000_000_000_000)
        record = edge.records[0]
        self.assertEqual(f"{attempt.context.span_id:016x}", record.routing.attempts[0].span_id)
        self.assertEqual(attempt.parent.span_id, server.context.span_id)
        self.assertEqual(attempt.context.trace_id, server.context.trace_id)
        self.assertEqual((attempt.name, attempt.kind), ("chat mock-model", SpanKind.CLIENT))
        expected = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "m",
            "gen_ai.request.model": "mock-model",
            "gen_ai.usage.input_tokens": record.accounting.usage.input,
            "gen_ai.usage.output_tokens": record.accounting.usage.output,
        }
        self.assertLessEqual(expected.items(), attempt.attributes.items())
        self.assertEqual(attempt.resource.attributes["service.name"], "llmedge")

    def test_a_vendor_goes_by_the_name_of_the_conventions(self) -> None:
        """Whatever its provider is called; one that they do not know by its provider's name. A reload may change it."""
        edge = self.edge(
            '[providers.west]\nvendor = "mistral"\nbase_url = "http://127.0.0.1:9"\n[providers.own]\n'
            'base_url = "http://127.0.0.1:9"\n'
        )
        for model, name in (("west/m", "mistral_ai"), ("own/m", "own")):
            edge.wire().send(request(body=CHAT | {"model": model}))
            edge.reactor.advance(6)
            self.assertEqual(self.exported()[-1].attributes["gen_ai.provider.name"], name)

    def test_a_stream_marks_its_first_token(self) -> None:
        """As an event of its attempt."""
        edge = self.edge(MOCK)
        wire = edge.wire()
        wire.send(request(body=CHAT | {"stream": True}))
        edge.reactor.advance(2)
        attempt = self.exported()[1]
        self.assertEqual([event.name for event in attempt.events], ["first token"])
        self.assertTrue(attempt.attributes["gen_ai.request.stream"])

    def test_each_attempt_has_a_span(self) -> None:
        """The failed one with its error, the usage on the one that answered; the call itself went well."""
        edge = self.edge(TWO)
        self.assertEqual(edge.chat(model="both").status, 200)
        server, first, second = self.exported()
        self.assertEqual([first.name, second.name], ["chat one", "chat two"])
        self.assertEqual({first.parent.span_id, second.parent.span_id}, {server.context.span_id})
        self.assertEqual(first.status.status_code, StatusCode.ERROR)
        self.assertTrue(first.attributes["error.type"])
        self.assertNotIn("gen_ai.usage.input_tokens", first.attributes)
        self.assertIn("gen_ai.usage.input_tokens", second.attributes)
        self.assertNotIn("error.type", second.attributes)
        self.assertEqual(server.status.status_code, StatusCode.UNSET)

    def test_decisions(self) -> None:
        """Who was passed over and what each further attempt was for are events of the request's span."""
        edge = self.edge(TWO + "[routing]\nbreaker_failures = 1\n")
        for _ in range(2):
            edge.chat(model="both")
        first, second = [span for span in self.exported() if span.kind is SpanKind.SERVER]
        self.assertEqual([(e.name, dict(e.attributes)) for e in first.events], [("next", {"llmedge.target": "b/two"})])
        (passed,) = second.events
        expected = {"llmedge.target": "a/one", "llmedge.why": "breaker: 1 in a row failed"}
        self.assertEqual((passed.name, dict(passed.attributes)), ("passed over", expected))
        self.assertEqual(passed.timestamp, 1_700_000_000_000_000_000)
        attempts = [span.attributes for span in self.exported() if span.kind is SpanKind.CLIENT]
        self.assertEqual([each["llmedge.attempt.kind"] for each in attempts], ["first", "next", "first"])
        self.assertEqual([each.get("llmedge.cause") for each in attempts], ["status_503", None, None])

    def test_errors(self) -> None:
        """A client's mistake is no error of the server's; a vendor's failure is."""
        edge = self.edge(TWO)
        edge.ask(body=b"{")
        edge.chat(model="a/one")
        wrong, failed, _ = self.exported()
        self.assertEqual((wrong.attributes["http.response.status_code"], wrong.parent), (400, None))
        self.assertNotIn("error.type", wrong.attributes)
        self.assertEqual(failed.status.status_code, StatusCode.ERROR)
        self.assertEqual(failed.attributes["error.type"], str(failed.attributes["http.response.status_code"]))

    def test_probes_and_scrapes_are_not_traced(self) -> None:
        """Other requests are, whatever becomes of them."""
        edge = self.edge()
        edge.ask("GET", "/health")
        edge.ask("GET", "/metrics")
        edge.ask("GET", "/nowhere")
        edge.ask("BREW", "/v1/models")
        self.assertEqual([span.name for span in self.exported()], ["GET", "HTTP /v1/models"])

    def test_a_parent_that_is_not_sampled(self) -> None:
        """Its choice stands: nothing is exported, and the vendor is told the same."""
        edge = self.edge()
        edge.ask(body=CHAT, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        self.assertEqual(self.exported(), [])
        trace = edge.records[0].trace
        assert trace is not None
        self.assertEqual(trace.headers("b" * 16), f"traceparent: 00-{TRACE}-{'b' * 16}-00\r\n".encode())

    def test_the_ratio_is_for_those_without_a_parent(self) -> None:
        """A parent that is sampled decides for its call."""
        edge = self.edge(more="sample_ratio = 0\n")
        edge.ask(body=CHAT)
        self.assertEqual(self.exported(), [])
        edge.ask(body=CHAT, headers={"traceparent": COMING})
        self.assertEqual(len(self.exported()), 2)

    def test_a_full_queue_drops_and_counts(self) -> None:
        """What does not fit is lost, and the metric says how much."""
        edge = self.edge()
        self.patch(tracing, "QUEUE", 3)
        for _ in range(4):
            edge.ask(body=CHAT)
        self.assertEqual(len(self.exported()), 3)
        self.assertIn(b"llm_trace_spans_lost_total 5.0\n", edge.ask("GET", "/metrics").body)


class Reload(SynchronousTestCase):
    def test_changes_wait_for_a_restart(self) -> None:
        """They are named, and nothing is switched on meanwhile."""
        said: list[str] = []

        def listen(event: Any) -> None:
            said.append(formatEvent(event))

        globalLogPublisher.addObserver(listen)
        self.addCleanup(globalLogPublisher.removeObserver, listen)
        service = EdgeService(Reactor(), settings(""), lambda: settings(ON))
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(service.reload())))
        self.assertIn("tracing.enabled: False → True (after a restart)", said)
        self.assertIsNone(service._process.tracing)


class Content(Base):
    SECRET = "the-prompt-5f1c"

    def text(self) -> str:
        return "".join(span.to_json() for span in self.exported())

    def say(self, edge: Edge) -> None:
        """Good, refused and failed calls that all hold the secret."""
        messages = [{"role": "user", "content": self.SECRET}]
        edge.chat(messages=messages, user=self.SECRET)
        edge.chat(messages=messages, stream=True)
        edge.ask(path="/v1/completions", body={"model": "b/two", "prompt": self.SECRET})
        edge.chat(messages=messages, temperature=self.SECRET)
        edge.chat(messages=messages, model="a/one")

    def test_never_exported_unless_asked_for(self) -> None:
        """Nothing of what is said is in a span or on record."""
        edge = self.edge(TWO + '[models.mock-model]\ntargets = ["b/two"]\n')
        self.say(edge)
        text = self.text()
        self.assertIn("chat two", text)
        self.assertNotIn(self.SECRET, text)
        self.assertNotIn("gen_ai.input", text)
        self.assertNotIn("gen_ai.output", text)
        self.assertFalse([record for record in edge.records if record.content is not None])

    def test_exported_when_asked_for(self) -> None:
        """Question and answer, as the conventions shape them."""
        edge = self.edge(TWO + '[models.mock-model]\ntargets = ["b/two"]\n', more="capture_content = true\n")
        answer = edge.chat(messages=[{"role": "user", "content": self.SECRET}]).json()
        attributes = self.exported()[1].attributes
        self.assertEqual(
            json.loads(attributes["gen_ai.input.messages"]),
            [{"role": "user", "parts": [{"type": "text", "content": self.SECRET}]}],
        )
        said = answer["choices"][0]["message"]["content"]
        self.assertEqual(
            json.loads(attributes["gen_ai.output.messages"]),
            [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}],
        )


class GenAiMetrics(Base):
    def test_names_and_values(self) -> None:
        """As the conventions name them, whole and streamed."""
        edge = self.edge(MOCK)
        for stream in (False, True):
            wire = edge.wire()
            wire.send(request(body=CHAT | {"stream": stream}))
            edge.reactor.advance(2)
        self.exported()
        call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "m", "gen_ai.request.model": "mock-*"}
        found = self.metrics.found
        (duration,) = found["gen_ai.server.request.duration"]
        self.assertEqual((dict(duration.attributes), duration.count, duration.sum), (call, 2, 4.0))
        (operation,) = found["gen_ai.client.operation.duration"]
        self.assertEqual((dict(operation.attributes), operation.count), (call, 2))
        (first,) = found["gen_ai.server.time_to_first_token"]
        self.assertEqual((dict(first.attributes), first.count), (call, 1))
        tokens = {point.attributes["gen_ai.token.type"]: point for point in found["gen_ai.client.token.usage"]}
        self.assertEqual((tokens["input"].sum, tokens["output"].sum), (6, 18))
        self.assertEqual(tokens["input"].explicit_bounds[:3], (1, 4, 16))

    def test_a_failure_says_what_it_was(self) -> None:
        """By the attribute the conventions have for it."""
        edge = self.edge(TWO)
        edge.chat(model="a/one")
        self.exported()
        (point,) = self.metrics.found["gen_ai.client.operation.duration"]
        self.assertTrue(point.attributes["error.type"])


class Transport(SynchronousTestCase):
    def test_chosen_by_the_endpoint(self) -> None:
        """By its port or path, unless the protocol is set."""
        for endpoint, protocol, expected in (
            ("http://c:4317", "auto", "grpc"),
            ("https://c", "auto", "grpc"),
            ("http://c:4318", "auto", "http"),
            ("https://c/otlp/v1/traces", "auto", "http"),
            ("https://c/otlp", "auto", "http"),
            ("https://c:4317", "http", "http"),
            ("https://c:4318", "grpc", "grpc"),
        ):
            self.assertEqual(Settings(endpoint=endpoint, protocol=protocol).transport, expected)

    def test_paths_of_http(self) -> None:
        """Each signal has its own path, whatever the endpoint ends in; a whole URL is used as it is."""
        base, metrics_at = "http://c:4318", "http://c:4318/v1/metrics"
        for said, expected in (
            ({"endpoint": base}, (f"{base}/v1/traces", metrics_at)),
            ({"endpoint": f"{base}/v1/traces"}, (f"{base}/v1/traces", metrics_at)),
            ({"endpoint": base, "traces_endpoint": "http://t/x"}, ("http://t/x", metrics_at)),
            ({"traces_endpoint": f"{base}/v1/traces"}, (f"{base}/v1/traces", metrics_at)),
            ({"endpoint": base, "metrics_endpoint": "http://m/y"}, (f"{base}/v1/traces", "http://m/y")),
        ):
            spans, metrics = tracing.connect(Settings(**said))
            self.assertEqual((spans._endpoint, metrics._endpoint), expected, said)

    def test_two_places_by_grpc(self) -> None:
        spans, metrics = tracing.connect(Settings(traces_endpoint="http://t:4317", metrics_endpoint="http://m:4317"))
        self.assertEqual((spans._endpoint, metrics._endpoint), ("t:4317", "m:4317"))


class Variables(SynchronousTestCase):
    """OpenTelemetry's own are enough."""

    AT = "OTEL_EXPORTER_OTLP_ENDPOINT"

    def test_where_and_how(self) -> None:
        for environ, expected in (
            ({self.AT: "http://c:4318"}, (True, "http://c:4318", "http")),
            ({self.AT: "http://c:4317/"}, (True, "http://c:4317", "grpc")),
            ({self.AT: "c:4317"}, (True, "http://c:4317", "grpc")),
            ({self.AT: "https://c/otlp"}, (True, "https://c/otlp", "http")),
            ({self.AT: "https://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, (True, "https://c", "http")),
            ({self.AT: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (True, "http://c:4318", "grpc")),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/x"}, (True, "http://c/v1/x", "http")),
            ({self.AT: "http://c:4318", "OTLP_ENDPOINT": "http://d:4317"}, (True, "http://d:4317", "grpc")),
            ({self.AT: "http://c:4318", "ENABLE_TRACING": "false"}, (False, "http://c:4318", "http")),
            ({self.AT: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, (False, "http://c:4318", "http")),
            ({self.AT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, (False, "http://c:4318", "http")),
            ({"OTLP_ENDPOINT": "http://d:4317"}, (False, "http://d:4317", "grpc")),
            ({"ENABLE_TRACING": "1", self.AT: "http://c:4318"}, (True, "http://c:4318", "http")),
            ({}, (False, "http://127.0.0.1:4317", "grpc")),
        ):
            found = settings("", environ).tracing
            self.assertEqual((found.enabled, found.places[0], found.transport), expected, environ)

    def test_the_file_goes_before_them(self) -> None:
        for toml, expected in (
            ("enabled = false\n", (False, "http://c:4318")),
            ('endpoint = "http://d:4317"\n', (True, "http://d:4317")),
        ):
            found = settings(f"[tracing]\n{toml}", {self.AT: "http://c:4318"}).tracing
            self.assertEqual((found.enabled, found.endpoint), expected)

    def test_without_the_extra(self) -> None:
        """Who only has the variable is not kept from starting, and is told."""
        self.patch(section, "find_spec", lambda name: None)
        found = settings("", {self.AT: "http://c:4318"})
        self.assertFalse(found.tracing.enabled)
        self.assertIn("tracing: off, though http://c:4318 is named", "\n".join(banner(found)))
        self.assertNotIn("tracing", "\n".join(banner(settings())))


class Import(SynchronousTestCase):
    def run_python(self, code: str) -> str:
        root = Path(tests.__file__).parent.parent
        environ = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
        process = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=600)
        self.assertEqual(process.returncode, 0, process.stderr)
        return process.stdout.strip()

    def hide(self, *names: str) -> None:
        """Have an import of these modules fail, for this test."""
        for name in names:
            self.addCleanup(sys.modules.__setitem__, name, importlib.import_module(name))
            sys.modules[name] = None  # type: ignore[assignment]

    def test_only_when_on(self) -> None:
        """Off, OpenTelemetry takes neither memory nor time."""
        code = (
            "import sys; from tests.fakes import Edge; e = Edge({!r}); e.chat(); record = e.records[0];"
            "print('opentelemetry' in sys.modules, record.trace is None, repr(record.routing.attempts[0].span_id))"
        )
        self.assertEqual(self.run_python(code.format("")), "False True ''")
        self.assertTrue(self.run_python(code.format(ON)).startswith("True False"))

    def test_the_extra_is_missing(self) -> None:
        """Said in one line, with what to install."""
        self.hide("opentelemetry.sdk.metrics", "llmedge.observe.tracing")
        del sys.modules["llmedge.observe.tracing"]
        with self.assertRaises(StartError) as raised:
            EdgeService(Reactor(), settings(ON))
        self.assertIn("pip install 'llmedge[otel]'", str(raised.exception))

    def test_an_exporter_is_missing(self) -> None:
        """Said in one line, with what to install."""
        self.hide("opentelemetry.exporter.otlp.proto.http")
        with self.assertRaises(ConfigError) as raised:
            tracing.connect(Settings(protocol="http"))
        self.assertIn("pip install 'llmedge[otel]'", str(raised.exception))
