"""The access log: one JSON line for each finished request. Every call pays for it: msgspec writes it, from structs."""

from __future__ import annotations

import threading
from functools import lru_cache
from time import time
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType
from twisted.logger import LogLevel, globalLogPublisher

from llmedge.money import USD
from llmedge.observe import logs
from llmedge.observe.terminal import terminal_line
from llmedge.record import Attempt, Fact, Record

NAMESPACE = "llmedge.access"
_INFO, _DEBUG = LogLevel.info, LogLevel.debug


class _Tried(msgspec.Struct):
    target: str
    kind: str
    outcome: str
    cause: str | None
    status: int | None
    reused: bool
    error: str | None
    queued_ms: float
    connect_ms: float | None
    first_byte_ms: float | None
    duration_ms: float | None
    upstream_request_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    queued_for: str | UnsetType
    tokens_estimated: bool | UnsetType = UNSET


class _Fields(msgspec.Struct):
    """What a line says. What is not set is not there."""

    message: str
    method: str
    route: str
    status: int
    outcome: str
    duration_ms: float
    overhead_ms: float
    peer: str
    caller: str
    bytes_in: int
    bytes_out: int
    model: str | UnsetType = UNSET
    message_count: int | UnsetType | None = UNSET
    stream: bool | UnsetType = UNSET
    first_event_ms: float | UnsetType | None = UNSET
    attempts: list[_Tried] | UnsetType = UNSET
    passed_over: list[dict[str, str]] | UnsetType = UNSET
    paused_ms: float | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cached_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET
    audio_input_tokens: int | UnsetType = UNSET
    audio_output_tokens: int | UnsetType = UNSET
    tokens_estimated: bool | UnsetType = UNSET
    cost_usd: float | UnsetType | None = UNSET
    error_code: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


@lru_cache(256)
def _fields_and(facts: tuple[Fact, ...]) -> type[_Fields]:
    """What a line of a call says of which ``facts`` are said besides."""
    named = [(fact.name, Any, UNSET) for fact in facts if fact.name]
    return cast("type[_Fields]", msgspec.defstruct("_FieldsAndFacts", named, bases=(_Fields,)))


class _Line(msgspec.Struct):
    timestamp: str
    level: str
    fields: _Fields
    span: dict[str, str]
    request_id: str
    threadId: int
    line_number: int
    target: str = NAMESPACE
    filename: str = "llmedge/observe/access.py"


class AccessLog:
    """One line for each finished request: at info for the API, at debug for health and metrics.

    A JSON log that is all there is takes the line as it is; whoever else listens gets it as an event of Twisted's,
    whose message is for people.
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
        globalLogPublisher(
            {
                "log_namespace": NAMESPACE,
                "log_level": level,
                "log_time": at,
                "log_format": "{message}",
                "message": terminal_line(record),
                "log_line": line,
            }
        )


def access_line(record: Record, at: float) -> str:
    """The line, its newline included. ``at`` is when, in seconds since 1970."""
    routing, accounting = record.routing, record.accounting
    received, ended = record.received, record.ended or record.received
    took = _ms(ended - received)
    fields = (_fields_and(tuple(record.facts)) if record.facts else _Fields)(
        f"{record.method} {record.route} {record.status} {record.outcome} in {took} ms",
        record.method,
        record.route,
        record.status,
        record.outcome,
        took,
        _ms(ended - received - routing.waited),
        record.peer,
        record.caller,
        record.bytes_in,
        record.bytes_out,
    )
    if record.model:
        first = record.first_event
        fields.model = record.model
        fields.message_count = record.message_count
        fields.stream = record.stream
        fields.first_event_ms = None if first is None else _ms(first - received)
    if routing.attempts:
        fields.attempts = [_tried(attempt) for attempt in routing.attempts]
    if (usage := accounting.usage) is not None:
        fields.input_tokens = usage.input
        fields.output_tokens = usage.output
        fields.cached_tokens = usage.cached
        fields.cache_write_tokens = usage.cache_write
        fields.reasoning_tokens = usage.reasoning
        fields.audio_input_tokens = usage.audio_input
        fields.audio_output_tokens = usage.audio_output
        fields.tokens_estimated = usage.estimated
    if usage is not None or accounting.unpriced:
        fields.cost_usd = None if accounting.cost is None else accounting.cost / USD
    if record.error_code:
        fields.error_code, fields.error = record.error_code, record.error_message
    if routing.skipped:
        fields.passed_over = [{"target": each.target, "why": each.why} for each in routing.skipped]
    if routing.paused:
        fields.paused_ms = _ms(routing.paused)
    if record.facts:
        for fact, value in record.facts.items():
            if fact.name:
                setattr(fields, fact.name, value)
    return logs.json_line(
        _Line(
            logs.timestamp(at),
            "INFO" if record.operation else "DEBUG",
            fields,
            {"name": record.operation or record.route},
            record.request_id,
            threading.get_ident(),
            _LINE,
        )
    )


def _tried(attempt: Attempt) -> _Tried:
    started, connected, first, ended = attempt.started, attempt.connected, attempt.first_byte, attempt.ended
    usage, cost, target = attempt.usage, attempt.cost, attempt.target
    tried = _Tried(
        f"{target.provider}/{target.model}",
        attempt.kind,
        attempt.outcome,
        attempt.cause or None,
        attempt.status,
        attempt.reused,
        attempt.error or None,
        _ms(attempt.queued) if attempt.queued else 0.0,
        None if connected is None else int((connected - started) * 1e6 + 0.5) / 1000,
        None if first is None else int((first - started) * 1e6 + 0.5) / 1000,
        None if ended is None else int((ended - started) * 1e6 + 0.5) / 1000,
        attempt.upstream_request_id or None,
        None if usage is None else usage.input,
        None if usage is None else usage.output,
        None if cost is None else cost / USD,
        attempt.queued_for or UNSET,
    )
    if usage is not None and usage.estimated:
        tried.tokens_estimated = True
    return tried


def _ms(seconds: float) -> float:
    """To the microsecond."""
    return int(seconds * 1e6 + 0.5) / 1000


_LINE = access_line.__code__.co_firstlineno
