"""W3C Trace Context: the trace a request came with, read strictly, or a new one. Source: w3.org/TR/trace-context."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from twisted.web.http_headers import Headers

from llmedge.record import PassedTrace, TraceContext

_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_SAMPLED = 1
_LONGEST_STATE = 512


def begin(headers: Headers, ratio: float, capture: bool) -> TraceContext:
    """The context of our span for a request with ``headers``.

    A parent's choice to sample stands; without a (valid) parent, ``ratio`` of all traces are sampled.
    """
    span_id = secrets.token_hex(8)
    match = _parent(headers)
    if match is None:
        trace_id = secrets.token_hex(16)
        flags = _SAMPLED if int(trace_id[16:], 16) < ratio * 2**64 else 0
        return TraceContext(trace_id, span_id, flags=flags, capture=capture)
    return TraceContext(
        match[2].decode(),
        span_id,
        parent_id=match[3].decode(),
        flags=int(match[4], 16) & _SAMPLED,  # others are not ours to pass on (section 3.2.2.5.2)
        tracestate=_state(headers.getRawHeaders(b"tracestate", [])),
        capture=capture,
    )


def passed(headers: Headers) -> TraceContext | None:
    """The context to send on where nothing is traced here; ``None`` where the request came with none that is valid."""
    match = _parent(headers)
    if match is None:
        return None
    state, parent = _state(headers.getRawHeaders(b"tracestate", [])), match[3].decode()
    return PassedTrace(match[2].decode(), parent, parent_id=parent, flags=int(match[4], 16), tracestate=state)


def _parent(headers: Headers) -> re.Match[bytes] | None:
    """The client's ``traceparent``, if it is one."""
    parents = headers.getRawHeaders(b"traceparent", [])
    match = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    return None if match is None or (match[5] is not None and match[1] == b"00") else match


def _state(lines: Sequence[bytes]) -> str:
    """The ``tracestate`` to send on, ``""`` unless all of it is well-formed (section 3.3.1)."""
    text = b",".join(lines).decode("latin-1")
    members = [member.strip(" \t") for member in text.split(",")] if len(text) <= _LONGEST_STATE else []
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > 32 or len(keys) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)
