"""The way to a collector, as the exporters of OpenTelemetry's SDK are told it: the same as to vendors."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from llmedge.config import ConfigError
from llmedge.config.egress import proxy_for
from llmedge.config.sections.upstream import Upstream

_TRUST = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
"""Variables that say of the collector alone whom to trust: the SDK reads them."""


def grpc_way(endpoint: str, upstream: Upstream) -> dict[str, Any]:
    """Arguments of an exporter over gRPC, which always asks a proxy for a tunnel
    (grpc.github.io/grpc/core, GRPC_ARG_HTTP_PROXY).

    :raises ConfigError: its proxy wants TLS, which gRPC does not speak with proxies.
    """
    proxy = proxy_for(endpoint, upstream)
    if proxy is not None and proxy.scheme != "http":
        raise ConfigError([f"tracing over gRPC cannot go through {proxy}: use OTLP over HTTP, or name it in no_proxy"])
    option = ("grpc.enable_http_proxy", 0) if proxy is None else ("grpc.http_proxy", proxy.reveal())
    way: dict[str, Any] = {"channel_options": (option,)}
    if endpoint.startswith("https") and upstream.ca_file is not None and upstream.ca_file.pem and not _is_told():
        way["credentials"] = import_module("grpc").ssl_channel_credentials(root_certificates=upstream.ca_file.pem)
    return way


def http_way(endpoint: str, upstream: Upstream) -> dict[str, Any]:
    """Arguments of an exporter over HTTP."""
    from requests import Session

    session = Session()
    session.trust_env = False  # it has been read
    proxy = proxy_for(endpoint, upstream)
    if proxy is not None:
        session.proxies = {"http": proxy.reveal(), "https": proxy.reveal()}
    way: dict[str, Any] = {"session": session}
    trusted = upstream.ca_file or upstream.ca_dir
    if trusted is not None and not _is_told():
        way["certificate_file"] = trusted.path
    return way


def _is_told() -> bool:
    return any(os.environ.get(name, "").strip() for name in _TRUST)
