"""What a vendor's error status means to us: its 4xx are the client's, its 401 and 403 are ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from llmedge.dialects.dialect import VendorError
from llmedge.errors import (
    EdgeError,
    NotFound,
    RequestTooLarge,
    UnsupportedMediaType,
    VendorFailed,
    VendorLacks,
    VendorRateLimited,
    VendorRefused,
    VendorRejectedCredentials,
    VendorUnavailable,
)

MAX_RETRY_AFTER = 86400.0
"""Seconds; a vendor that asks for more is passed on as asking for this."""


_RESET = re.compile(rb"x-ratelimit-reset-(?P<openai>[a-z-]+)|anthropic-ratelimit-(?P<anthropic>[a-z-]+)-reset")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_REQUESTS = (
    (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (
        b"anthropic-ratelimit-requests-limit",
        b"anthropic-ratelimit-requests-remaining",
        b"anthropic-ratelimit-requests-reset",
    ),
)
REMAINING = frozenset(remaining for _, remaining, _ in _REQUESTS)
"""Headers that tell how many requests are left."""

_FLAGGED = re.compile(r"\bflagged\b|\bmoderation\b", re.IGNORECASE)
"""OpenRouter's 403 for what its moderation does not let pass (openrouter.ai/docs/api-reference/errors)."""

_CODES = {each.status: each.code for each in (NotFound, RequestTooLarge, UnsupportedMediaType)}
"""Our code where a vendor's refusal has none."""


def failure_for(provider: str, status: int, error: VendorError, retry_after: float | None) -> EdgeError:
    """The exception for an answer of ``status`` from ``provider``.

    :param error: what the body said, our own credential already taken out.
    :param retry_after: seconds, from the headers.
    """
    said = f": {error.message}" if error.message else ""
    if (
        status in (401, 403, 407) and not _is_flagged(status, error)
    ) or error.code == "API_KEY_INVALID":  # Google's is a 400
        # Its message may repeat the credential: the log has the status, the client needs no more.
        return VendorRejectedCredentials(
            f"refused the gateway's credentials (status {status}); the operator has to check its api_key"
        ).of(provider)
    if status == 402:  # of our account, as "Insufficient Balance" at DeepSeek and OpenRouter
        return VendorRejectedCredentials("wants to be paid (status 402); the operator has to see to it").of(provider)
    if status == 429:
        return VendorRateLimited(f"is limiting the gateway's rate{said}", retry_after=retry_after).of(provider)
    if status in (503, 529):
        cause = f"status_{status}"
        return VendorUnavailable(f"is not available{said}", retry_after=retry_after, cause=cause).of(provider)
    if status in (405, 501):
        what = f"cannot serve this kind of request (status {status}){said}"
        return VendorLacks(what, type=_word(error.type) or None).of(provider)
    if status >= 500 or status in (408, 409, 424, 425):  # 424: Bedrock's ModelErrorException
        cause = f"status_{status}" if status in (408, 409, 425, 500, 502, 504) else "status_other"
        shown = 409 if status == 409 else None
        failed = VendorFailed(f"failed with status {status}{said}", retry_after=retry_after, cause=cause, status=shown)
        return failed.of(provider)
    if status < 400:
        said = f"answered with status {status} (check its base_url)"
        return VendorFailed(said, cause="status_other").of(provider)
    rejected = VendorRefused(
        error.message or f"The provider '{provider}' refused the request with status {status}.",
        status=status,
        code=_code(status, error),
        type=_word(error.type) or "invalid_request_error",
        param=error.param,
        details={"provider": provider},
        retry_after=retry_after,
    )
    rejected.more = error.more
    return rejected


def _is_flagged(status: int, error: VendorError) -> bool:
    return status == 403 and _FLAGGED.search(error.message) is not None


def _code(status: int, error: VendorError) -> str:
    """The vendor's code for a refusal, its type, or ours."""
    if _is_flagged(status, error):
        return "content_filter"
    return _word(error.code) or _word(error.type) or _CODES.get(status, "VALIDATION_ERROR")


def parse_should_retry(fields: Mapping[bytes, bytes]) -> bool | None:
    """What a vendor itself says of trying again (OpenAI's and Anthropic's SDKs heed it)."""
    return {b"true": True, b"false": False}.get(fields.get(b"x-should-retry", b"").strip().lower())


def parse_retry_after(fields: Mapping[bytes, bytes], now: float) -> float | None:
    """Seconds a vendor asks to wait: ``retry-after-ms``, else ``Retry-After`` as seconds or date
    (RFC 9110 section 10.2.3), else when the limits that are used up reset: OpenAI's ``x-ratelimit-reset-*``,
    Anthropic's ``anthropic-ratelimit-*-reset``; ``None`` if it does not say or makes no sense.

    :param now: seconds since the epoch.
    """
    if (milliseconds := _number(fields.get(b"retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    value = fields.get(b"retry-after")
    if value is None:
        return _reset(fields, now)
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    try:
        return _bounded(parsedate_to_datetime(value.decode("latin-1")).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def parse_rate(fields: Mapping[bytes, bytes], now: float) -> float | None:
    """Requests a second that come back where none is left, by ``x-ratelimit-*-requests`` (OpenAI and those like it) or
    ``anthropic-ratelimit-requests-*``: both tell when all are there again. ``None`` where some are left.

    :param now: seconds since the epoch.
    """
    for limit, remaining, reset in _REQUESTS:
        if _number(fields.get(remaining)) == 0 and (all_of_them := _number(fields.get(limit))):
            wait = _until(fields.get(reset, b"").decode("latin-1"), now)
            return all_of_them / wait if wait else None
    return None


def _reset(fields: Mapping[bytes, bytes], now: float) -> float | None:
    """Seconds until everything is there again of which nothing is left."""
    waits = []
    for name, value in fields.items():
        if (found := _RESET.fullmatch(name)) is None:
            continue
        what = found["openai"] or found["anthropic"]
        pattern = b"x-ratelimit-remaining-%b" if found["openai"] else b"anthropic-ratelimit-%b-remaining"
        if _number(fields.get(pattern % what)) == 0 and (wait := _until(value.decode("latin-1"), now)) is not None:
            waits.append(wait)
    return max(waits, default=None)


def _until(text: str, now: float) -> float | None:
    """Seconds until ``text``: ``1s``, ``6m0s``, ``120ms``, a number of seconds, or an RFC 3339 time."""
    text = text.strip()
    if (seconds := _number(text.encode())) is not None:
        return _bounded(seconds if seconds < 1e9 else seconds - now)  # some say at which second of the epoch
    if text and _DURATION.fullmatch(text):
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _bounded(at.timestamp() - now) if at.tzinfo is not None else None


def _word(text: str) -> str:
    """A vendor's code or type if it is one: it goes into logs as well."""
    return text if re.fullmatch(r"[A-Za-z0-9_.\-]{1,64}", text) else ""


def _number(value: bytes | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if seconds == seconds else None
