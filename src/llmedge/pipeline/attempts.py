"""What one call has tried so far, and what its client is told of that."""

from __future__ import annotations

from llmedge.errors import EdgeError, ElsewhereError, TargetBusy, Unsupported
from llmedge.model import Attempt, Call, Clock


class Tried:
    """What one candidate has been through in one call. ``turned_away``: at a full queue, while others were left."""

    __slots__ = ("error", "failures", "ready_at", "turned_away")

    def __init__(self) -> None:
        self.failures = 0
        self.error: ElsewhereError | None = None
        self.ready_at = 0.0
        self.turned_away = False


def end(attempt: Attempt, clock: Clock, outcome: str, error: str = "") -> None:
    """Note how an attempt ended; the first time counts."""
    if attempt.ended is None:
        attempt.ended = clock.seconds()
        attempt.outcome = outcome
        attempt.error = error


def all_failed(failures: list[EdgeError]) -> EdgeError:
    """What the client is told: the error that says most, and every failure's reason."""
    # What we never asked, or what could not be said to one target, tells less than what a vendor answered.
    telling = [error for error in failures if not isinstance(error, TargetBusy | Unsupported)] or failures
    last = telling[-1]
    if len(failures) > 1:
        reasons = list(dict.fromkeys(error.message for error in failures))
        if len(reasons) > 1:
            last.message = f"All {len(failures)} attempts failed. " + " ".join(reasons)
        waits = [error.retry_after for error in failures if error.retry_after is not None]
        last.retry_after = min(waits, default=None)
    return last


def tokens_of(call: Call) -> int:
    """About how many tokens the call will use: four bytes each, and what may be written."""
    most = 0
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        raw = bytes(call.fields.get(name, b""))
        if raw.isdigit():
            most = int(raw)
            break
    return call.record.bytes_in // 4 + most
