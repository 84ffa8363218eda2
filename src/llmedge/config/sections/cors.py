"""``[cors]``: which web pages may call."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


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
            "x-server-timeout",
            "api-key",
            "user-agent",
            "x-request-id",
            "x-stainless-*",
            "anthropic-*",
            "openai-*",
            "idempotency-key",
            "x-title",
            "http-referer",
            "traceparent",
            "tracestate",
            "baggage",
            "x-llmedge-*",
        ),
        "Request headers allowed; a trailing * allows any ending.",
    )
    credentials: bool = option(kinds.boolean, False, "Let pages send cookies and client certificates.")
    max_age: int = option(kinds.integer(0, 86400), 600, "Seconds a browser may keep a preflight's answer.")
