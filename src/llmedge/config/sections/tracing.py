"""``[tracing]``: OpenTelemetry."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Tracing:
    """OpenTelemetry traces."""

    enabled: bool = option(kinds.boolean, False, "Export a trace of each request.", env="ENABLE_TRACING")
    endpoint: str = option(kinds.url, "http://127.0.0.1:4317", "Where the collector listens.", env="OTLP_ENDPOINT")
    protocol: str = option(
        kinds.choice("auto", "grpc", "http"), "auto", "OTLP over gRPC or HTTP/protobuf; auto goes by the endpoint."
    )
    sample_ratio: float = option(
        kinds.number(0, 1), 1.0, "Share of traces exported, of those that do not come with a traceparent."
    )
    capture_content: bool = option(
        kinds.boolean, False, "Export what was asked and, unless streamed, what was answered. It may be private."
    )

    @property
    def transport(self) -> str:
        """``grpc`` or ``http``: as ``protocol`` says, else http for port 4318 and a path of OTLP/HTTP."""
        if self.protocol != "auto":
            return self.protocol
        parts = urlsplit(self.endpoint)
        return "http" if parts.port == 4318 or parts.path.endswith("/v1/traces") else "grpc"
