"""``[tracing]``: OpenTelemetry."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

import attrs

from llmedge.config import kinds
from llmedge.config.option import option

_PLACE = attrs.evolve(kinds.url, parse=lambda text: text if "://" in text else f"http://{text}")
_PROTOCOL = attrs.evolve(kinds.choice("auto", "grpc", "http"), parse=lambda text: text.lower().partition("/")[0])
"""As ``OTEL_EXPORTER_OTLP_PROTOCOL`` has it, too: ``http/protobuf``."""
_BASE, _TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@attrs.frozen
class Tracing:
    """OpenTelemetry traces. Variables that begin with ``OTEL_`` are those of every OpenTelemetry SDK."""

    enabled: bool = option(
        kinds.boolean,
        False,
        f"Export a trace of each request; on by itself where {_BASE} is set and the extra otel is installed.",
        env="ENABLE_TRACING",
    )
    endpoint: str = option(
        _PLACE, "http://127.0.0.1:4317", "Where the collector listens.", env="OTLP_ENDPOINT", fallback=_BASE
    )
    traces_endpoint: str = option(
        _PLACE, "", "The whole URL for traces, where it does not follow from endpoint.", fallback=_TRACES
    )
    metrics_endpoint: str = option(
        _PLACE, "", "The whole URL for metrics, likewise.", fallback="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    )
    protocol: str = option(
        _PROTOCOL,
        "auto",
        "OTLP over gRPC or HTTP/protobuf; auto goes by the endpoint.",
        fallback=("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    )
    sample_ratio: float = option(
        kinds.number(0, 1), 1.0, "Share of traces exported, of those that do not come with a traceparent."
    )
    capture_content: bool = option(
        kinds.boolean, False, "Export what was asked and, unless streamed, what was answered. It may be private."
    )

    @property
    def transport(self) -> str:
        """``grpc`` or ``http``: as ``protocol`` says, else http for port 4318 and for a path."""
        if self.protocol != "auto":
            return self.protocol
        parts = urlsplit(self.places[0])
        return "http" if parts.port == 4318 or parts.path else "grpc"

    @property
    def places(self) -> tuple[str, str]:
        """Where traces go and where metrics, as far as they are told: with HTTP ``endpoint`` is what stands before
        ``/v1/traces`` (opentelemetry.io/docs/specs/otel/protocol/exporter)."""
        traces = self.traces_endpoint or self.endpoint
        return traces, self.metrics_endpoint or (self.endpoint if self.is_told else traces)

    @property
    def is_told(self) -> bool:
        """``endpoint`` is not the default."""
        return self.endpoint != attrs.fields(Tracing).endpoint.default


def is_meant(environ: kinds.Environ) -> bool:
    """Whether traces are to be exported where nobody has said so but OpenTelemetry's own variables."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    if not any(environ.get(name, "").strip() for name in (_BASE, _TRACES)):
        return False
    try:
        return find_spec("opentelemetry.exporter.otlp") is not None
    except ImportError:
        return False
