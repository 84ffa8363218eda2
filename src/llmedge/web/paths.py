"""What a path is, before Klein has looked at it: for exemptions and for labels that clients cannot invent."""

from __future__ import annotations

from llmedge.model import Operation

CHAT = b"/v1/chat/completions"
TEXT = b"/v1/completions"

_OPERATIONS = {CHAT: Operation.CHAT.value, TEXT: Operation.TEXT.value}
_ROUTES = {path: path.decode() for path in (b"/", b"/metrics", b"/v1/models", CHAT, TEXT)}
_STREAMED: set[bytes] = set()
_HEALTH = {b"/health", b"/health/ready", b"/health/live"}
_ROUTES |= {path: path.decode() for path in _HEALTH}


def operation_of(method: bytes, path: bytes) -> str:
    """The inference operation a request is for, or ``""``."""
    return _OPERATIONS.get(path, "") if method == b"POST" else ""


def route_of(path: bytes) -> str:
    """The path's template, ``"other"`` for one we do not serve."""
    if path.startswith(b"/v1/models/"):
        return "/v1/models/{id}"
    return _ROUTES.get(path, "other")


def is_health(path: bytes) -> bool:
    return path in _HEALTH


def is_metrics(path: bytes) -> bool:
    return path == b"/metrics"


def streams_body(path: bytes) -> bool:
    """Whether the onion runs as soon as the head of a request is here, with ``request.body`` to read from."""
    return path in _STREAMED


def split_target(target: bytes) -> tuple[bytes | None, bytes] | None:
    """A request target as ``(authority, path and query)``, ``None`` for one that no server of ours has.

    The authority is only there in the absolute form, which every server must take (RFC 9112 section 3.2.2). Also
    good is the asterisk form. The authority form belongs to CONNECT, which is not served.
    """
    if target.startswith(b"/") or target == b"*":
        return None, target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return None
    end = len(rest)
    for mark in (b"/", b"?"):
        if (found := rest.find(mark, 0, end)) >= 0:
            end = found
    authority, path = rest[:end], rest[end:]
    if not authority:
        return None
    return authority, path if path.startswith(b"/") else b"/" + path
