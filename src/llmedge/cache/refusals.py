"""What only the cache refuses."""

from __future__ import annotations

from llmedge.errors import EdgeError


class FellBehind(EdgeError):
    """Its client takes a stream that others read as well too slowly: what they have read is not kept for ever."""

    status = 503
    code = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("This stream was read too slowly to be kept for longer.")


class NotCached(EdgeError):
    """The client takes an answer from the cache only, and there is none (RFC 9111 section 5.2.1.7)."""

    status = 504
    code = "NOT_CACHED"
    type = "timeout_error"
    should_retry = False

    def __init__(self) -> None:
        super().__init__("No answer to this is in the cache, and the request has Cache-Control: only-if-cached.")
