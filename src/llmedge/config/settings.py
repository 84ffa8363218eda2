"""Every setting there is: name, kind, default, environment variable, meaning.

This file is the only definition: reading, checking, ``--check`` and the reference in docs all walk it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

import attrs

from llmedge.config import kinds
from llmedge.config.capabilities import Capabilities
from llmedge.config.kinds import TargetEntry
from llmedge.config.option import option
from llmedge.config.secret import Secret


@attrs.frozen
class Server:
    """Where and how requests are taken."""

    address: str = option(
        kinds.string, "0.0.0.0:8080", "HOST:PORT to listen on where no endpoint is given.", env="SERVER_ADDRESS"
    )
    listen: tuple[str, ...] = option(kinds.strings, (), "Twisted endpoint strings to listen on; stands in for address.")
    timeout: float = option(
        kinds.number(0.01, 86400),
        30.0,
        "Seconds a whole answer, or the first event of a stream, may take.",
        env="SERVER_TIMEOUT_SECONDS",
    )
    stream_timeout: float = option(
        kinds.number(0.01, 604800), 3600.0, "Seconds a whole stream may take, from first byte in to last byte out."
    )
    max_request_size: int = option(
        kinds.integer(1), 10485760, "Largest request body, in bytes.", env="MAX_REQUEST_SIZE"
    )
    max_upload_size: int = option(
        kinds.integer(1), 26214400, "Largest body of an endpoint that takes files (audio, images), in bytes."
    )
    header_timeout: float = option(
        kinds.number(0.01, 3600), 10.0, "Seconds a request's head may take, from its first byte to its last."
    )
    body_timeout: float = option(
        kinds.number(0.01, 3600), 60.0, "Seconds a request's body may take, from its first byte to its last."
    )
    idle_timeout: float = option(
        kinds.number(0.01, 86400),
        60.0,
        "Seconds a connection may be idle between requests, or silent while sending one.",
    )
    max_headers: int = option(kinds.integer(10, 500), 100, "Headers of one request.")
    max_header_size: int = option(kinds.integer(1024, 1048576), 16384, "Bytes of a request's line and headers.")
    max_url_length: int = option(kinds.integer(64, 1048576), 8192, "Bytes of a request's URL.")
    max_json_depth: int = option(kinds.integer(4, 500), 100, "How deeply a body's JSON may be nested.")
    max_connections: int = option(kinds.integer(1), 10000, "Open connections, all clients together.")
    max_connections_per_address: int = option(
        kinds.integer(0), 2000, "Open connections from one address; 0 for no limit of its own."
    )
    max_requests: int = option(kinds.integer(1), 5000, "Requests under way, all clients together.")
    max_requests_per_address: int = option(
        kinds.integer(0), 0, "Requests under way from one address; 0 for no limit of its own."
    )
    http_parser: str = option(
        kinds.choice("llhttp", "twisted"),
        "llhttp",
        "Who parses HTTP/1.1: the quick one, or twisted.web's own, the reference it is tested against.",
    )
    max_streams: int = option(kinds.integer(1, 10000), 100, "Requests under way on one HTTP/2 connection.")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = option(
        kinds.networks,
        (),
        "Proxies in front of the gateway whose X-Forwarded-For is believed; needs keys, as any forwarded request.",
    )
    shutdown_grace: float = option(
        kinds.number(0, 3600), 30.0, "Seconds that calls in flight may take to finish when the service stops."
    )
    write_timeout: float = option(
        kinds.number(0.01, 86400), 60.0, "Seconds a client may take no byte of an answer that waits for it."
    )
    heartbeat: float = option(
        kinds.number(0, 3600),
        15.0,
        "Seconds of silence after which a stream gets a comment line; 0 turns heartbeats off.",
    )


@attrs.frozen
class Key:
    """One API key."""

    name: str = option(kinds.string, "", "What logs and metrics show for this key.")
    key: Secret | None = option(kinds.secret, None, 'The key, or "sha256:HEX" of it, or a reference.')
    certificate: str = option(
        kinds.string, "", "A verified client certificate with this common or alternative name is this key as well."
    )
    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models it may ask for.")
    rpm: int | None = option(kinds.integer(1), None, "Requests a minute; default: only the global limit.")
    burst: int | None = option(kinds.integer(1), None, "Requests at once; default: rate_limit.burst.")

    def digest(self) -> bytes:
        """SHA-256 of the key, 32 bytes."""
        assert self.key is not None
        value = self.key.reveal()
        if value.startswith("sha256:"):
            return bytes.fromhex(value.removeprefix("sha256:"))
        return hashlib.sha256(value.encode()).digest()


@attrs.frozen
class Auth:
    """Who may ask."""

    enabled: bool = option(kinds.boolean, True, "Ask callers for a key.", env="AUTH_ENABLED")
    health_check: bool = option(kinds.boolean, False, "Ask for a key on /health as well.", env="AUTH_HEALTH_CHECK")
    metrics: bool = option(kinds.boolean, False, "Ask for a key on /metrics as well.", env="AUTH_METRICS")
    keys: tuple[Key, ...] = attrs.field(default=(), metadata={"items": Key, "env": "API_KEYS"})


@attrs.frozen
class RateLimit:
    """The bucket all callers share, and the defaults of their own."""

    enabled: bool = option(kinds.boolean, True, "Limit requests at all.", env="RATE_LIMIT_ENABLED")
    rpm: int = option(kinds.integer(1), 1000, "Requests a minute, all callers together.", env="RATE_LIMIT_RPM")
    burst: int = option(kinds.integer(1), 100, "Requests at once, all callers together.", env="RATE_LIMIT_BURST")


@attrs.frozen
class Certificate:
    """One more certificate, for the names it is issued for."""

    cert: str = option(kinds.string, "", "Path of the PEM certificate chain.")
    key: str = option(kinds.string, "", "Path of the PEM private key.")


@attrs.frozen
class Admin:
    """A place for operators only."""

    listen: tuple[str, ...] = option(
        kinds.strings, (), "Twisted endpoint strings that serve /health and /metrics, and nothing else."
    )
    keep_public: bool = option(kinds.boolean, False, "Serve /health and /metrics on the other endpoints as well.")


@attrs.frozen
class Tls:
    """Certificates for a bare ``ssl:PORT`` endpoint, and who may connect."""

    enabled: bool = option(kinds.boolean, False, "Listen on server.address with TLS.", env="ENABLE_TLS")
    cert: str = option(kinds.string, "", "Path of the PEM certificate chain.", env="TLS_CERT_PATH")
    key: str = option(kinds.string, "", "Path of the PEM private key.", env="TLS_KEY_PATH")
    certificates: tuple[Certificate, ...] = attrs.field(default=(), metadata={"items": Certificate})
    client_ca: str = option(kinds.string, "", "Path of the PEM certificates that sign clients' certificates.")
    client_auth: str = option(
        kinds.choice("none", "optional", "require"), "none", "Whether clients may, or must, present a certificate."
    )


@attrs.frozen
class Cors:
    """Which web pages may call the gateway."""

    origins: tuple[str, ...] = option(
        kinds.strings, (), 'Origins allowed, such as "https://app.example.com"; "*" allows all; none by default.'
    )
    methods: tuple[str, ...] = option(kinds.strings, ("GET", "POST", "OPTIONS"), "Methods allowed.")
    headers: tuple[str, ...] = option(
        kinds.strings,
        (
            "authorization",
            "content-type",
            "x-api-key",
            "x-goog-api-key",
            "x-goog-api-client",
            "x-request-id",
            "x-stainless-*",
            "anthropic-*",
            "x-llmedge-*",
        ),
        "Request headers allowed; a trailing * allows any ending.",
    )
    credentials: bool = option(kinds.boolean, False, "Let pages send cookies and client certificates.")
    max_age: int = option(kinds.integer(0, 86400), 600, "Seconds a browser may keep a preflight's answer.")


@attrs.frozen
class Log:
    """What is logged."""

    level: str = option(
        kinds.choice("trace", "debug", "info", "warn", "error", "off"), "info", "Lowest level.", env="LOG_LEVEL"
    )
    filter: str = option(
        kinds.string,
        "",
        "Levels by namespace: llmedge=debug,twisted=warn.",
        env=("LOG_FILTER", "RUST_LOG"),
    )


@attrs.frozen
class Metrics:
    """Prometheus metrics."""

    enabled: bool = option(kinds.boolean, True, "Serve /metrics.", env="ENABLE_METRICS")


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


@attrs.frozen
class Upstream:
    """Limits of each attempt at a vendor. All lie within the call's own deadline."""

    connect_timeout: float = option(
        kinds.number(0.01, 3600), 5.0, "Seconds to open a connection, TLS handshake included."
    )
    first_byte_timeout: float = option(
        kinds.number(0, 3600), 0.0, "Seconds from the request sent to the answer's headers; 0: the deadline alone."
    )
    first_token_timeout: float = option(
        kinds.number(0, 3600),
        0.0,
        "Seconds from the request sent to a stream's first content; 0: the deadline alone.",
    )
    idle_timeout: float = option(kinds.number(0.01, 3600), 30.0, "Seconds of silence within an answer that has begun.")
    max_response_size: int = option(kinds.integer(1024), 67108864, "Largest whole answer, in bytes.")
    max_event_size: int = option(kinds.integer(1024), 16777216, "Largest single event of a stream, in bytes.")
    max_connections: int = option(
        kinds.integer(1, 65536), 1024, "Connections to one vendor; more calls wait for one, connect_timeout at most."
    )
    keepalive: float = option(
        kinds.number(0, 3600), 30.0, "Seconds an idle connection is kept; below what vendors keep theirs."
    )
    models_refresh: float = option(
        kinds.number(0, 86400), 300.0, "Seconds after which a vendor's list of models is old; 0: they are never asked."
    )


SPOKEN = ("openai", "openai_responses", "anthropic", "gemini", "bedrock", "vertex", "mock")
"""What ``dialect`` may say: ``openai`` is chat, legacy completions and embeddings."""
FAULTS = ("none", "status", "cut", "stall", "malformed")


@attrs.frozen
class Provider:
    """One vendor, or one server of yours."""

    vendor: str = option(
        kinds.string, "", "Its entry in the catalogue; a provider called as one, and without base_url, is that one."
    )
    dialect: str = option(
        kinds.choice(*SPOKEN), "", "What it speaks: of a vendor's dialects this one only; else openai."
    )
    base_url: str = option(
        kinds.url, "", 'Where it is, such as "https://api.openai.com/v1"; the catalogue knows it for most vendors.'
    )
    api_key: Secret | None = option(kinds.secret, None, "Its key, shown the way the vendor wants it.")
    headers: Mapping[str, Secret] = option(kinds.header_table, attrs.Factory(dict), "More headers to send.")
    stream_usage: bool = option(
        kinds.boolean, True, "Ask for usage in streams; off for servers that refuse stream_options."
    )
    models: tuple[str, ...] = option(
        kinds.strings, (), "Patterns of model names that go here without a [models] entry."
    )
    on_unsupported: str = option(
        kinds.choice("refuse", "drop"), "refuse", "What the vendor cannot be told: a 400 that names it, or left out."
    )
    paths: Mapping[str, str] = option(
        kinds.path_table, attrs.Factory(dict), "Paths that differ, by dialect (openai_chat) or operation (rerank)."
    )
    api_version: str = option(kinds.string, "", "azure: the api-version of deployments; without it the v1 API.")
    options: Mapping[str, str | int | float | bool | Secret] = option(
        kinds.option_table, attrs.Factory(dict), "A plugin's own settings: whatever the plugin knows."
    )
    region: str = option(kinds.string, "", "bedrock: the AWS region; default: AWS_REGION, else AWS_DEFAULT_REGION.")
    access_key: Secret | None = option(
        kinds.secret, None, "bedrock: AWS access key id, where there is no api_key; with neither, AWS's variables."
    )
    secret_key: Secret | None = option(kinds.secret, None, "bedrock: AWS secret access key.")
    session_token: Secret | None = option(kinds.secret, None, "bedrock: AWS session token of temporary keys.")
    project: str = option(
        kinds.string, "", "vertex: the Google Cloud project; default: GOOGLE_CLOUD_PROJECT, else the key's."
    )
    location: str = option(
        kinds.string, "", "vertex: the location, such as europe-west4 or global; default: GOOGLE_CLOUD_LOCATION."
    )
    credentials: Secret | None = option(
        kinds.document, None, "vertex: the service account's JSON key; default: GOOGLE_APPLICATION_CREDENTIALS, a path."
    )
    token_url: str = option(
        kinds.url, "", "vertex: where its access tokens come from, in the place of https://oauth2.googleapis.com/token."
    )
    latency: float = option(kinds.number(0, 3600), 0.0, "mock: seconds before the answer begins.")
    chunk_interval: float = option(kinds.number(0, 3600), 0.0, "mock: seconds between the events of a stream.")
    fault: str = option(kinds.choice(*FAULTS), "none", "mock: the failure to rehearse.")
    fault_status: int = option(kinds.integer(400, 599), 503, "mock: the status of the fault 'status'.")
    fault_after: int = option(kinds.integer(0, 10**6), 3, "mock: events of a stream before the fault.")
    fault_rate: float = option(
        kinds.number(0, 1), 1.0, "mock: share of calls that fail, spread evenly: 0.25 is each fourth."
    )


@attrs.frozen
class Routing:
    """What is done when a target fails, is slow or has enough to do. Models may say otherwise for themselves."""

    retries: int = option(kinds.integer(0, 10), 2, "Times one target may be asked again, at most.")
    retry_base: float = option(
        kinds.number(0.001, 60), 0.25, "Seconds: a first retry comes after anything up to this, each next after twice."
    )
    retry_cap: float = option(kinds.number(0.001, 600), 5.0, "Seconds: the longest pause before a retry.")
    retry_ratio: float = option(
        kinds.number(0, 10), 0.2, "Retries for each call, over the last ten seconds: an outage is not multiplied."
    )
    retry_after_max: float = option(
        kinds.number(0, 600), 5.0, "Seconds of a vendor's Retry-After that are waited for where nobody else is left."
    )
    hedge: str | float = option(
        kinds.hedge, "tail", 'Ask the next target as well when one is slow: "tail" is slower than it ever is.'
    )
    hedge_ratio: float = option(kinds.number(0, 1), 0.05, "Such extra calls for each call, at most.")
    breaker_failures: int = option(kinds.integer(1), 5, "Failures in a row that have a target left alone.")
    breaker_rate: float = option(
        kinds.number(0.01, 2), 0.5, "Share of failures in ten seconds with the same effect; above 1: none has."
    )
    breaker_open: float = option(
        kinds.number(0.01, 600), 1.0, "Seconds a target is left alone at first, doubled each time."
    )
    breaker_max_open: float = option(kinds.number(0.01, 3600), 8.0, "Seconds it is left alone at most.")
    adaptive: bool = option(
        kinds.boolean, True, "Learn how many calls at once each target takes, from its refusals and its pace."
    )
    queue: int = option(kinds.integer(0), 100, "Calls that may wait for one target.")
    queue_wait: float = option(kinds.number(0, 600), 5.0, "Seconds a call may wait for a target.")
    health_check: float = option(
        kinds.number(0, 3600),
        0.0,
        "Seconds between looks at targets left alone; 0: calls find out themselves.",
    )


@attrs.frozen
class Model:
    """One model name clients may ask for."""

    targets: tuple[TargetEntry, ...] = option(
        kinds.targets, (), 'Where it goes: "PROVIDER/MODEL", or {target = "PROVIDER/MODEL", weight = 3, rpm = 600}.'
    )
    strategy: str = option(
        kinds.choice("priority", "weighted", "round_robin", "least_busy", "latency", "cost"),
        "priority",
        "Which target is asked first; the others follow when it fails.",
    )
    fallbacks: tuple[str, ...] = option(kinds.strings, (), "Models to ask when all targets are out, in order.")
    context_fallbacks: tuple[str, ...] = option(
        kinds.strings, (), "Models to ask when the prompt is too long for the targets, in order."
    )
    hedge: str | float | None = option(kinds.hedge, None, "Ask the next target as well when one is slow.")
    stream_recovery: str | None = option(
        kinds.choice("off", "splice", "continue", "buffer"),
        None,
        "What becomes of a stream that breaks after its first token; default: splice where another target is left.",
    )
    sticky: str = option(
        kinds.string, "", 'Keeps calls that belong together on one target: "prompt", or "header:NAME" of the client\'s.'
    )
    shadow: str = option(kinds.string, "", "A target that gets a copy of calls; its answers are only recorded.")
    shadow_share: float = option(kinds.number(0, 1), 1.0, "Share of the calls that are copied.")
    on_unsupported: str = option(
        kinds.choice("refuse", "drop"), "", "As the provider's, for this model; default: what the provider says."
    )
    capabilities: Capabilities = attrs.field(factory=Capabilities)


@attrs.frozen
class Price:
    """What a model costs you, in place of its list price. NAME is a target, ``"PROVIDER/MODEL"``, or a pattern of
    targets; a name goes before a pattern, the longest pattern first. All in USD per million tokens."""

    input: Decimal | None = option(kinds.price, None, "Tokens read. Has to be given.")
    output: Decimal | None = option(kinds.price, None, "Tokens written. Has to be given.")
    cached: Decimal | None = option(kinds.price, None, "Tokens read from the vendor's cache; default: as input.")
    cache_write: Decimal | None = option(kinds.price, None, "Tokens written to that cache; default: as input.")
    cache_write_1h: Decimal | None = option(
        kinds.price, None, "Tokens written to it for an hour; default: as cache_write."
    )
    audio_input: Decimal | None = option(kinds.price, None, "Tokens of audio read; default: as input.")
    audio_output: Decimal | None = option(kinds.price, None, "Tokens of audio written; default: as output.")
    reasoning: Decimal | None = option(kinds.price, None, "Tokens of reasoning; default: as output.")


@attrs.frozen
class Settings:
    """All of it."""

    server: Server = attrs.field(factory=Server)
    auth: Auth = attrs.field(factory=Auth)
    rate_limit: RateLimit = attrs.field(factory=RateLimit)
    admin: Admin = attrs.field(factory=Admin)
    tls: Tls = attrs.field(factory=Tls)
    cors: Cors = attrs.field(factory=Cors)
    log: Log = attrs.field(factory=Log)
    metrics: Metrics = attrs.field(factory=Metrics)
    tracing: Tracing = attrs.field(factory=Tracing)
    upstream: Upstream = attrs.field(factory=Upstream)
    routing: Routing = attrs.field(factory=Routing)
    providers: Mapping[str, Provider] = attrs.field(factory=dict, metadata={"table_of": Provider})
    models: Mapping[str, Model] = attrs.field(factory=dict, metadata={"table_of": Model})
    prices: Mapping[str, Price] = attrs.field(factory=dict, metadata={"table_of": Price})
