"""What the client is told where nobody answered, or nobody could be asked."""

from __future__ import annotations

from llmedge.call import Call
from llmedge.errors import (
    EdgeError,
    KeptElsewhere,
    TargetBusy,
    Unsupported,
    ValidationError,
    VendorLacks,
    VendorRateLimited,
)

UNTAGGED = "has not the tags asked for"
NO_TOOLS = "cannot call tools"
NEVER = {UNTAGGED, NO_TOOLS}
"""Why a target was passed over that no other time would change."""
_UNTELLING = (Unsupported, VendorLacks, KeptElsewhere)


def all_failed(failures: list[EdgeError]) -> EdgeError:
    """The error that says most, with every failure's reason."""
    # What we never asked tells less than what a vendor answered, and what could not be said to one target the least.
    telling = [error for error in failures if not isinstance(error, _UNTELLING)] or failures
    telling = [error for error in telling if not isinstance(error, TargetBusy)] or telling
    last = telling[-1]
    if len(failures) > 1:
        reasons = list(dict.fromkeys(error.message for error in failures))
        if len(reasons) > 1:
            last.message = f"All {len(failures)} attempts failed. " + " ".join(reasons)
        waits = [error.retry_after for error in failures if error.retry_after is not None]
        last.retry_after = min(waits, default=None)
        if any(error.should_retry is not last.should_retry for error in failures):
            last.should_retry = None  # one vendor's word is not all of theirs
    return last


def all_passed_over(call: Call, wait: float) -> EdgeError:
    """The error where nobody was asked.

    :param wait: seconds until somebody may be.
    """
    passed = call.record.routing.skipped
    left = [each for each in passed if each.why not in NEVER]
    if not left and any(each.why == NO_TOOLS for each in passed):
        field = "tools" if "tools" in call.fields else "functions"
        return Unsupported(f"'{call.model}' cannot call tools: leave the field '{field}' out.", param=field)
    if not left and passed:
        return ValidationError(
            f"No target of '{call.model}' has all the tags asked for (x-llmedge-tags).", param="x-llmedge-tags"
        )
    if left and all(each.why.startswith("paused") for each in left):
        names = sorted({each.target.partition("/")[0] for each in left})
        said = " ".join(f"The provider '{name}' is limiting the gateway's rate." for name in names)
        return VendorRateLimited(said, retry_after=wait)
    reasons = "; ".join(f"{each.target} ({each.why})" for each in passed)
    return TargetBusy(f"No target of '{call.model}' can be asked now: {reasons}.", retry_after=wait)
