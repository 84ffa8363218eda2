"""When a vendor may be asked again, as it says itself: in headers, in its error object, or in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from llmedge.dialects import lenient

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

_ONE_LIMIT = (b"x-ratelimit", b"ratelimit", b"ratelimitbysize", b"x-ratelimitbysize")
"""Prefixes of headers about one limit: OpenRouter and Together; draft-ietf-httpapi-ratelimit-headers; Mistral."""

_NAMES = ("retry_after_seconds", "retry_after", "resets_in_seconds")
"""Fields of error objects that say for how many seconds."""

_SOON = re.compile(
    r"\b(?:try again|retry|wait)(?: your request)? (?:in|after|for)?:? ?(?:about |another )?"
    r"(?P<number>\d+(?:\.\d+)?) ?"
    r"(?P<unit>milliseconds?|seconds?|minutes?|hours?|(?:ms|secs?|min|[smh])(?![a-z]))"
    r"(?P<rest>(?:(?:,? (?:and )?)?\d+(?:\.\d+)? ?(?:milliseconds?|seconds?|minutes?|(?:ms|secs?|min|[ms])(?![a-z0-9])"
    r"|[ms](?=\d)))*)",
    re.IGNORECASE,
)
"""Words of OpenAI, Groq (``try again in 9m38.016s``), Google (``Please retry in 34.07s.``), Azure (``Please retry after
20 seconds``), Moonshot (``please try again after 1 seconds``)."""
_SAID = re.compile(r"(\d+(?:\.\d+)?) ?(ms|mil|s|m|h)")


def parse_should_retry(fields: Mapping[bytes, bytes]) -> bool | None:
    """What a vendor itself says of trying again (OpenAI's and Anthropic's SDKs heed it)."""
    return {b"true": True, b"false": False}.get(fields.get(b"x-should-retry", b"").strip().lower())


def parse_retry_after(fields: Mapping[bytes, bytes], now: float) -> float | None:
    """Seconds a vendor asks to wait: ``retry-after-ms``, else ``Retry-After`` as seconds or date
    (RFC 9110 section 10.2.3), or as some write it, ``34s`` or a second of the epoch, else when the limits that are used
    up reset: OpenAI's ``x-ratelimit-reset-*``, Anthropic's ``anthropic-ratelimit-*-reset``, the ``x-ratelimit-reset``
    and the like of others; ``None`` if it does not say or makes no sense.

    :param now: seconds since the epoch.
    """
    if (milliseconds := _number(fields.get(b"retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    value = fields.get(b"retry-after")
    if value is None:
        return _reset(fields, now)
    if (seconds := _until(value.decode("latin-1"), now)) is not None:
        return seconds
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


def wait_in_body(body: bytes, now: float) -> float | None:
    """Seconds an error object asks to wait: Google's ``RetryInfo`` (google.aip.dev/193), in a list too, as its API of
    OpenAI's form has it; OpenRouter's ``metadata``, with the headers of whom it asked. ``None``: it does not say.

    :param now: seconds since the epoch.
    """
    document = lenient.decode(body)
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error", document) if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if (wait := _until(lenient.text(detail, "retryDelay"), now)) is not None:
            return wait
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    told = [metadata.get("retry_after_seconds"), *map(error.get, _NAMES)]
    for seconds in told:
        known = isinstance(seconds, int | float | str) and not isinstance(seconds, bool)
        if known and (wait := _until(str(seconds), now)) is not None:
            return wait
    headers: Any = metadata.get("headers")
    if not isinstance(headers, dict):
        return None
    return parse_retry_after({name.lower().encode(): str(value).encode() for name, value in headers.items()}, now)


def wait_in_words(message: str) -> float | None:
    """Seconds a message asks to wait, as ``Please try again in 7.66s``; ``None`` if it does not."""
    if (found := _SOON.search(message)) is None:
        return None
    parts = _SAID.findall(f"{found['number']}{found['unit']}{found['rest']}".lower())
    return _bounded(sum(float(number) * _UNITS["ms" if unit == "mil" else unit] for number, unit in parts))


def _reset(fields: Mapping[bytes, bytes], now: float) -> float | None:
    """Seconds until everything is there again of which nothing is left."""
    waits = []
    for name, value in fields.items():
        if (found := _RESET.fullmatch(name)) is None:
            continue
        what = found["openai"] or found["anthropic"]
        pattern = b"x-ratelimit-remaining-%b" if found["openai"] else b"anthropic-ratelimit-%b-remaining"
        if _number(fields.get(pattern % what)) == 0:
            waits.append(_until(value.decode("latin-1"), now))
    for prefix in _ONE_LIMIT:
        if _number(fields.get(prefix + b"-remaining")) == 0:
            waits.append(_until(fields.get(prefix + b"-reset", b"").decode("latin-1"), now))
    return max((wait for wait in waits if wait is not None), default=None)


def _until(text: str, now: float) -> float | None:
    """Seconds until ``text``: ``1s``, ``6m0s``, ``120ms``, a number of seconds, an RFC 3339 time, or a second of the
    epoch; milliseconds, where that is thousands of years from now."""
    text = text.strip()
    if (seconds := _number(text.encode())) is not None:
        at = seconds / 1000 if seconds > 1e11 else seconds
        return _bounded(at - now if at > 1e9 else at)
    if text and _DURATION.fullmatch(text):
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    try:
        at_time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _bounded(at_time.timestamp() - now) if at_time.tzinfo is not None else None


def _number(value: bytes | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if seconds == seconds else None
