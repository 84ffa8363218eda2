"""The access log: one JSON line for each finished request, put together by hand, since every call pays for it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from time import time

from twisted.logger import LogLevel, globalLogPublisher

from llmedge.model import Attempt, Record, Usage
from llmedge.observe import logs

NAMESPACE = "llmedge.access"
_INFO, _DEBUG = LogLevel.info, LogLevel.debug


class AccessLog:
    """One line for each finished request: at info for the API, at debug for health and metrics.

    A JSON log that is all there is takes the line as it is; whoever else listens gets it as an event of Twisted's.
    """

    def __call__(self, record: Record) -> None:
        level = _INFO if record.operation else _DEBUG
        if not logs.levels.wanted(NAMESPACE, level):
            return  # before anything is made for it
        at = time()
        line = access_line(record, at)
        if (write := logs.direct(level)) is not None:
            write(line)
            return
        took = _ms(record.received, record.ended)
        globalLogPublisher(
            {
                "log_namespace": NAMESPACE,
                "log_level": level,
                "log_time": at,
                "log_format": "{message}",
                "message": f"{record.method} {record.route} {record.status} {record.outcome} in {took} ms",
                "log_line": line,
            }
        )


def access_line(record: Record, at: float) -> str:
    """The line, its newline included. ``at`` is when, in seconds since 1970."""
    received, ended = record.received, record.ended or record.received
    micros = round(at * 1e6)
    took = f"{(ended - received) * 1000:.3f}"
    method = _quote(record.method)
    parts = [
        f'{{"timestamp":"{_second(micros // 1000000)}.{micros % 1000000:06d}Z",'
        f'"level":"{"INFO" if record.operation else "DEBUG"}","fields":{{'
        f'"message":"{method[1:-1]} {record.route} {record.status} {record.outcome} in {took} ms",'
        f'"method":{method},"route":"{record.route}","status":{record.status},"outcome":"{record.outcome}",'
        f'"duration_ms":{took},"overhead_ms":{(ended - received - record.waited) * 1000:.3f},'
        f'"peer":{_quote(record.peer)},"caller":{_quote(record.caller)},'
        f'"bytes_in":{record.bytes_in},"bytes_out":{record.bytes_out}'
    ]
    if record.model:
        count = record.message_count
        parts.append(
            f',"model":{_quote(record.model)},"message_count":{"null" if count is None else count},'
            f'"stream":{"true" if record.stream else "false"},"first_event_ms":{_ms(received, record.first_event)}'
        )
    if record.attempts:
        parts.append(f',"attempts":[{",".join([_attempt(attempt) for attempt in record.attempts])}]')
    if record.usage is not None:
        parts.append(_usage(record.usage))
        parts.append(f',"cost_usd":{"null" if record.cost is None else float(record.cost)}')
    if record.passed_over or record.paused or record.fallback or record.dropped:
        parts.append(_unusual(record))
    if record.error_code:
        parts.append(f',"error_code":{_quote(record.error_code)},"error":{encode_basestring_ascii(record.error_message)}')
    if record.refused_by:
        parts.append(f',"refused_by":"{record.refused_by}"')
    parts.append(
        f'}},"target":"{NAMESPACE}","span":{{"name":"{record.operation or record.route}"}},'
        f'"request_id":{encode_basestring_ascii(record.request_id)},"threadId":{threading.get_ident()},{_PLACE}}}\n'
    )
    return "".join(parts)


def _attempt(attempt: Attempt) -> str:
    started, usage, cost = attempt.started, attempt.usage, attempt.cost
    status, vendors_id = attempt.status, attempt.upstream_request_id
    used = '"input_tokens":null,"output_tokens":null'
    if usage is not None:
        used = f'"input_tokens":{usage.input},"output_tokens":{usage.output}'
    target = attempt.target
    return (
        f'{{"target":{_quote(f"{target.provider}/{target.model}")},"kind":"{attempt.kind}","outcome":"{attempt.outcome}",'
        f'"cause":{_or_null(attempt.cause)},"status":{"null" if status is None else status},'
        f'"reused":{"true" if attempt.reused else "false"},"error":{_or_null(attempt.error)},'
        f'"queued_ms":{attempt.queued * 1000:.3f},"skipped_events":{attempt.skipped_events},'
        f'"connect_ms":{_ms(started, attempt.connected)},"first_byte_ms":{_ms(started, attempt.first_byte)},'
        f'"duration_ms":{_ms(started, attempt.ended)},"upstream_request_id":{_or_null(vendors_id)},'
        f'{used},"cost_usd":{"null" if cost is None else float(cost)}}}'
    )


def _usage(usage: Usage) -> str:
    return (
        f',"input_tokens":{usage.input},"output_tokens":{usage.output},"cached_tokens":{usage.cached},'
        f'"cache_write_tokens":{usage.cache_write},"reasoning_tokens":{usage.reasoning},'
        f'"audio_input_tokens":{usage.audio_input},"audio_output_tokens":{usage.audio_output},'
        f'"tokens_estimated":{"true" if usage.estimated else "false"}'
    )


def _unusual(record: Record) -> str:
    """What most requests have none of."""
    fields: dict[str, object] = {}
    if record.passed_over:
        fields["passed_over"] = [{"target": each.target, "why": each.why} for each in record.passed_over]
    if record.paused:
        fields["paused_ms"] = round(record.paused * 1000, 3)
    if record.fallback:
        fields["fallback"] = record.fallback
    if record.dropped:
        fields["dropped"] = record.dropped
    return "," + json.dumps(fields)[1:-1]


def _ms(start: float, end: float | None) -> str:
    return "null" if end is None else f"{(end - start) * 1000:.3f}"


def _or_null(text: str) -> str:
    return encode_basestring_ascii(text) if text else "null"


@lru_cache(2048)
def _quote(text: str) -> str:
    """A JSON string, of what comes again and again. Half a surrogate pair is escaped, which UTF-8 could not hold."""
    return encode_basestring_ascii(text)


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_PLACE = f'"filename":"llmedge/observe/access.py","line_number":{access_line.__code__.co_firstlineno}'
