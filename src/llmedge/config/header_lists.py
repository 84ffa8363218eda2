"""Lists of headers that an operator has passed on, shown or logged: by name, and never one that may hold a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from llmedge.config.kinds import Environ, ValueType

_NAME = r"[A-Za-z0-9_-]{1,64}"
_SECRET = re.compile(
    r"(?!idempotency-key$)(?:.*[-_])?(?:auth\w*|(?:set-)?cookies?\d?|\w*token|\w*secrets?|\w*pass(?:w\w*|phrase)?|pwd"
    r"|\w*credentials?|\w*key|api[-_]?keys|signature|jwt|bearer|\w*session(?:id)?|\w*sessid|sid|otp|oidc|saml|assertion"
    r"|websocket-protocol)(?:[-_].*)?"
)
"""By the words of a name, also where it is one word with another. ``tokens``, which vendors count, is none of them."""
_FRAMING = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SENT = _FRAMING | {
    "accept",
    "accept-encoding",
    "origin",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-forwarded-for",
    "x-request-id",
}
"""What the gateway says to a vendor itself, or is nobody's business there."""
_ANSWERED = _FRAMING.union(("alt-svc", "strict-transport-security", "vary"))
"""What an answer of the gateway's says itself, or a vendor may not say for it."""
_OURS = ("access-control-", "x-llmedge-")


def _names(value: Any, environ: Environ, *, pattern: str, others: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('must be a list of names of headers, such as ["x-team"]')
    names = tuple(item.strip().lower() for item in value)
    for name in names:
        if not re.fullmatch(pattern, name):
            raise ValueError(f"has {name!r}, which is no name of a header")
        if _SECRET.fullmatch(name.rstrip("*")):
            raise ValueError(f"has {name}, which may hold a secret")
        if name in others or name.startswith(_OURS):
            raise ValueError(f"has {name}, which the gateway says itself")
    return names


def _list(pattern: str, others: Collection[str] = ()) -> ValueType:
    schema = {"type": "array", "items": {"type": "string", "pattern": rf"^\s*{pattern}\s*$"}}
    return ValueType("list of names of headers", partial(_names, pattern=pattern, others=others), schema)


logged = _list(_NAME)
passed_on = _list(_NAME, _SENT)
shown = _list(rf"{_NAME}\*?", _ANSWERED)


def matcher(names: Collection[str]) -> Callable[[bytes], Any] | None:
    """Whether the header of a vendor's is one of ``names``, which may end in a star; ``None`` where there are none."""
    if not names:
        return None
    listed = "|".join(re.escape(name).replace(r"\*", ".*") for name in names)
    never = "|".join((*map(re.escape, _ANSWERED), *(f"{name}.*" for name in _OURS)))
    return re.compile(f"(?!(?:{never})$)(?!(?:{_SECRET.pattern})$)(?:{listed})".encode()).fullmatch
