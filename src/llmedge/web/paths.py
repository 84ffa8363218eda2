"""What a path is, before Klein has looked at it: for exemptions, for labels that clients cannot invent, and for errors
in the asker's dialect."""

from __future__ import annotations

import re
from typing import Any

import attrs

from llmedge.model import Operation

CHAT = b"/v1/chat/completions"
MODELS = b"/v1/models"

_STREAMED = {b"/v1/images/edits", b"/v1/audio/transcriptions", b"/v1/audio/translations"}


@attrs.frozen
class Endpoint:
    """One path of inference.

    :ivar template: the path without what clients put into it.
    :ivar dialect: what is spoken there.
    :ivar model: the one in the path, or what is meant where none is named.
    :ivar stream: the path says that the answer is streamed.
    """

    template: str
    operation: Operation
    dialect: str
    model: str = ""
    stream: bool = False


_PASSED = {
    "moderations": Operation.MODERATIONS,
    "images/generations": Operation.IMAGES_GENERATIONS,
    "images/edits": Operation.IMAGES_EDITS,
    "audio/speech": Operation.AUDIO_SPEECH,
    "audio/transcriptions": Operation.AUDIO_TRANSCRIPTIONS,
    "audio/translations": Operation.AUDIO_TRANSLATIONS,
    "rerank": Operation.RERANK,
}
_USUAL = {"moderations": "omni-moderation-latest"}  # OpenAI's default: the one body without a model there is
_ENDPOINTS = {
    endpoint.template.encode(): endpoint
    for endpoint in (
        Endpoint("/v1/chat/completions", Operation.CHAT, "openai_chat"),
        Endpoint("/v1/completions", Operation.TEXT, "openai_text"),
        Endpoint("/v1/embeddings", Operation.EMBEDDINGS, "openai_embeddings"),
        Endpoint("/v1/responses", Operation.CHAT, "openai_responses"),
        Endpoint("/v1/messages", Operation.CHAT, "anthropic"),
        Endpoint("/v1/messages/count_tokens", Operation.COUNT_TOKENS, "anthropic"),
        *(
            Endpoint(f"/v1/{name}", operation, "passthrough", _USUAL.get(name, ""))
            for name, operation in _PASSED.items()
        ),
    )
}
_GEMINI = re.compile(r"/(v1beta|v1)/models/(.+):([a-zA-Z]+)")
_METHODS = {
    "generateContent": (Operation.CHAT, "gemini", False),
    "streamGenerateContent": (Operation.CHAT, "gemini", True),
    "countTokens": (Operation.COUNT_TOKENS, "gemini", False),
    "embedContent": (Operation.EMBEDDINGS, "gemini_embeddings", False),
    "batchEmbedContents": (Operation.EMBEDDINGS, "gemini_embeddings", False),
}
_HEALTH = {b"/health", b"/health/ready", b"/health/live"}
_ROUTES = {path: path.decode() for path in (b"/", b"/metrics", MODELS, b"/v1beta/models", *_HEALTH)}


def endpoint_of(path: bytes) -> Endpoint | None:
    """The inference endpoint at ``path``, if one is."""
    found = _ENDPOINTS.get(path)
    if found is None and b":" in path and path.isascii() and (match := _GEMINI.fullmatch(path.decode())):
        version, model, method = match.groups()
        if method in _METHODS:
            operation, dialect, stream = _METHODS[method]
            return Endpoint(f"/{version}/models/{{model}}:{method}", operation, dialect, model, stream)
    return found


def operation_of(method: bytes, path: bytes) -> str:
    """The inference operation a request is for, or ``""``."""
    endpoint = endpoint_of(path) if method == b"POST" else None
    return "" if endpoint is None else endpoint.operation.value


def route_of(path: bytes) -> str:
    """The path's template, ``"other"`` for one we do not serve."""
    if (endpoint := endpoint_of(path)) is not None:
        return endpoint.template
    if path.startswith((b"/v1/models/", b"/v1beta/models/")):
        return f"{path.partition(b'/models/')[0].decode()}/models/{{id}}"
    return _ROUTES.get(path, "other")


def dialect_of(request: Any) -> str:
    """The dialect of whoever sent ``request``: of the endpoint, else by the headers its SDK sends."""
    endpoint = endpoint_of(request.path)
    if endpoint is not None:
        return endpoint.dialect
    if request.path.startswith(b"/v1beta/") or is_googles(request):
        return "gemini"
    if request.getHeader(b"anthropic-version") is not None or request.path.startswith(b"/v1/messages"):
        return "anthropic"
    return "openai_chat"


def is_googles(request: Any) -> bool:
    """Whether an SDK of Google's sent ``request``, which may also ask below ``/v1/``."""
    return request.getHeader(b"x-goog-api-key") is not None or request.getHeader(b"x-goog-api-client") is not None


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
