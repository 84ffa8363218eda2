"""A row of the ledger: what one call was, who made it, what it used and what that cost. Never what was said in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from llmedge.record import CACHE, Attempt, Record


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The columns of the table ``ledger``, in their order.

    :ivar uid: made here; ``request_id`` may be the client's, who may send it twice.
    :ivar at: microseconds since 1970 (UTC) at which the request came.
    :ivar model: as it was asked for, where that used anything; else the bounded name.
    :ivar target: the vendor's name of the model that answered.
    :ivar cost: of all attempts, in picos (:mod:`llmedge.money`); ``None`` where none costs anything.
    :ivar unpriced: of one of them the price is not known.
    :ivar attempts: how many vendors were asked; ``detail`` has them, and every decision, as JSON.
    :ivar duration: microseconds; ``first_event`` too.
    :ivar cache: what the cache did, in the words of ``x-llmedge-cache``; ``saved``: what its answer would have cost, in
        picos, and the tokens that nobody was asked for.
    """

    uid: str
    at: int
    request_id: str
    key_id: str
    key: str
    team: str
    project: str
    organization: str
    user_id: str
    end_user: str
    tags: str
    operation: str
    model: str
    provider: str
    target: str
    stream: int
    status: int
    outcome: str
    error_code: str
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    estimated: int
    cost: int | None
    unpriced: int
    attempts: int
    duration: int
    first_event: int | None
    detail: str
    cache: str = ""
    saved: int = 0
    spared_input: int = 0
    spared_output: int = 0


COLUMNS = Row.__struct_fields__
_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Row).decode
encode = _encode


def day_of(at: int) -> int:
    """``20261129``: the day (UTC) of ``at`` in microseconds."""
    moment = datetime.fromtimestamp(at // 1_000_000, UTC)
    return moment.year * 10_000 + moment.month * 100 + moment.day


def row_of(record: Record, uid: str) -> Row:
    """The row of a finished call."""
    account, used, cost = record.account, record.accounting.usage, record.accounting.cost
    by = record.routing.deciding_attempt
    spared = record.accounting.spared
    ended = record.received if record.ended is None else record.ended
    return Row(
        uid=uid,
        at=_micros(record.received),
        request_id=record.request_id,
        key_id=_plain(account.key_id or record.caller),
        key=_plain(record.caller),
        team=_plain(account.team),
        project=account.project,
        organization=account.organization,
        user_id=_plain(account.user),
        end_user=_plain(record.end_user),
        tags=_encode(account.tags).decode(),
        operation=record.operation,
        model=_plain(record.model_label if used is None and cost is None else record.model),
        provider="" if by is None else by.target.provider,
        target="" if by is None else _plain(by.target.model),
        stream=int(record.stream),
        status=record.status,
        outcome=record.outcome,
        error_code=_plain(record.error_code),
        input=0 if used is None else used.input,
        cached=0 if used is None else used.cached,
        cache_write=0 if used is None else used.cache_write,
        output=0 if used is None else used.output,
        reasoning=0 if used is None else used.reasoning,
        estimated=int(used is not None and used.estimated),
        cost=cost,
        unpriced=int(record.accounting.unpriced),
        attempts=len(record.routing.attempts),
        duration=_micros(ended - record.received),
        first_event=None if record.first_event is None else _micros(record.first_event - record.received),
        detail=_encode(_detail(record)).decode(),
        cache=record.facts.get(CACHE, ""),
        saved=record.accounting.saved or 0,
        spared_input=0 if spared is None else spared.input,
        spared_output=0 if spared is None else spared.output,
    )


def _plain(text: str) -> str:
    """``text`` without NUL, which clients and vendors can send and PostgreSQL takes nowhere."""
    return text.replace("\0", "\ufffd")


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _detail(record: Record) -> dict[str, Any]:
    """Every decision, for whoever asks why: what was tried, what was passed over, what the stages said."""
    routing = record.routing
    return {
        "attempts": [_attempt(record, attempt) for attempt in routing.attempts],
        "passed_over": [{"target": each.target, "why": each.why} for each in routing.skipped],
        "paused": routing.paused,
        "facts": {fact.name: value for fact, value in record.facts.items() if fact.name},
        "error": record.error_message,
    }


def _attempt(record: Record, attempt: Attempt) -> dict[str, Any]:
    def after(moment: float | None) -> float | None:
        return None if moment is None else round(moment - record.received, 6)

    used = attempt.usage
    return {
        "target": str(attempt.target),
        "kind": attempt.kind,
        "outcome": attempt.outcome,
        "cause": attempt.cause,
        "status": attempt.status,
        "error": attempt.error,
        "queued": attempt.queued,
        "queued_for": attempt.queued_for,
        "started": after(attempt.started),
        "connected": after(attempt.connected),
        "first_byte": after(attempt.first_byte),
        "first_event": after(attempt.first_event),
        "ended": after(attempt.ended),
        "reused": attempt.reused,
        "upstream_request_id": attempt.upstream_request_id,
        "input": None if used is None else used.input,
        "output": None if used is None else used.output,
        "estimated": used is not None and used.estimated,
        "cost": attempt.cost,
        "unpriced": attempt.unpriced,
    }
