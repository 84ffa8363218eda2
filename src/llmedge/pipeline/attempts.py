"""What one call has tried so far, and what its client is told of that."""

from __future__ import annotations

from llmedge.errors import EdgeError, ElsewhereError, TargetBusy, Unsupported, ValidationError, VendorRateLimited
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


UNTAGGED = "has not the tags asked for"


def all_passed_over(call: Call, wait: float) -> EdgeError:
    """What the client is told where nobody was asked.

    :param wait: seconds until somebody may be.
    """
    passed = call.record.passed_over
    if passed and all(each.why == UNTAGGED for each in passed):
        return ValidationError(
            f"No target of '{call.model}' has all the tags asked for (x-llmedge-tags).", param="x-llmedge-tags"
        )
    if passed and all(each.why == "breaker: cooldown" for each in passed):  # they said when to come back
        names = sorted({each.target.partition("/")[0] for each in passed})
        said = " ".join(f"The provider '{name}' is limiting the gateway's rate." for name in names)
        return VendorRateLimited(said, retry_after=wait)
    reasons = "; ".join(f"{each.target} ({each.why})" for each in passed)
    return TargetBusy(f"No target of '{call.model}' can be asked now: {reasons}.", retry_after=wait)


def tokens_of(call: Call) -> int:
    """About how many tokens the call will use: four bytes each, and what may be written."""
    most = 0
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        raw = bytes(call.fields.get(name, b""))
        if raw.isdigit():
            most = int(raw)
            break
    return call.record.bytes_in // 4 + most
