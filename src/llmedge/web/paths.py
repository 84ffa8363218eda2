"""What a path is, before Klein has looked at it: for exemptions and for labels that clients cannot invent."""

from __future__ import annotations

from llmedge.model import Operation

CHAT = b"/v1/chat/completions"
TEXT = b"/v1/completions"

_OPERATIONS = {CHAT: Operation.CHAT.value, TEXT: Operation.TEXT.value}
_ROUTES = {path: path.decode() for path in (b"/", b"/metrics", b"/v1/models", CHAT, TEXT)}
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
