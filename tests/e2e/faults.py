"""A vendor that fails in every way there is. The model it is asked for, up to a colon, names the way."""

from __future__ import annotations

import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from twisted.internet import reactor as _reactor

from tests.e2e.vendor import ROLE, Asked, Vendor, VendorConnection, delta

reactor: Any = _reactor

WORDS = [
    f"{word} "
    for word in [
        "It",
        "is",
        "a",
        "truth",
        "universally",
        "acknowledged",
        "that",
        "no",
        "gateway",
        "ever",
        "lost",
        "a",
        "word",
    ]
]
TEXT = "".join(WORDS)
USAGE = {"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 7 + len(WORDS)}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": USAGE,
}
BEFORE = 4
"""Words a stream says before it breaks."""


def well(asked: Asked) -> None:
    """The right answer."""
    vendor = asked.connection
    if not asked.json().get("stream"):
        vendor.answer(200, WHOLE)
        return
    begin(vendor, len(WORDS))
    finish(vendor)
    vendor.event(b"[DONE]")
    vendor.end()


def begin(vendor: VendorConnection, words: int) -> None:
    vendor.begin_stream()
    vendor.event(ROLE)
    for word in WORDS[:words]:
        vendor.event(delta(word))


def finish(vendor: VendorConnection) -> None:
    vendor.event(delta(finish="stop"))
    vendor.event(ROLE | {"choices": [], "usage": USAGE})


def status(code: int, error: Any = None, **headers: str) -> Callable[[Asked], None]:
    document = {"error": error or {"message": f"this is {code}"}}
    return lambda asked: asked.connection.answer(code, document, **headers)


def once(fault: Callable[[Asked], None]) -> Callable[[Asked], None]:
    """``fault`` for the first call of each model, then well."""
    seen: set[str] = set()

    def script(asked: Asked) -> None:
        name = asked.json()["model"]
        (well if name in seen else fault)(asked)
        seen.add(name)

    return script


def reset(asked: Asked) -> None:
    asked.connection.reset()


def half_a_head(asked: Asked) -> None:
    asked.connection.send(b"HTTP/1.1 200 OK\r\ncontent-ty")


def half_a_head_then_cut(asked: Asked) -> None:
    half_a_head(asked)
    asked.connection.close()


def silence(asked: Asked) -> None: ...


def role_then_silence(asked: Asked) -> None:
    begin(asked.connection, 0)


def error_in_a_200(asked: Asked) -> None:
    asked.connection.answer(200, {"error": {"message": "not really"}})


def error_first(asked: Asked) -> None:
    begin(asked.connection, 0)
    asked.connection.event({"error": {"message": "overloaded", "code": 500}})
    asked.connection.end()


def half_json(asked: Asked) -> None:
    asked.connection.answer(200, b'{"choices": [{"ind')


def html(asked: Asked) -> None:
    asked.connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")


def not_http(asked: Asked) -> None:
    asked.connection.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


def malformed_event(asked: Asked) -> None:
    """Between two good ones; whether something was said in it, nobody knows."""
    begin(asked.connection, BEFORE)
    asked.connection.event(b'{"choices":[{')
    for word in WORDS[BEFORE:]:
        asked.connection.event(delta(word))
    finish(asked.connection)
    asked.connection.event(b"[DONE]")
    asked.connection.end()


def malformed_then_end(asked: Asked) -> None:
    begin(asked.connection, BEFORE)
    asked.connection.event(b'{"choices":[{')
    asked.connection.end()


def too_large(asked: Asked) -> None:
    if asked.json().get("stream"):
        asked.connection.begin_stream()
        asked.connection.chunk(b"data: " + b"x" * 70000)
    else:
        asked.connection.answer(200, WHOLE | {"filler": "x" * 70000})


def cut(asked: Asked) -> None:
    """Without the terminating chunk, or before the length that was said."""
    if asked.json().get("stream"):
        begin(asked.connection, BEFORE)
    else:
        asked.connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{")
    asked.connection.close()


def reset_after_words(asked: Asked) -> None:
    """The reset is the test's to ask for, by :meth:`FaultServer.reset`: it takes with it what was not read yet."""
    begin(asked.connection, BEFORE)


def ended_early(asked: Asked) -> None:
    """A clean end of the framing, and no finish reason."""
    begin(asked.connection, BEFORE)
    asked.connection.end()


def error_later(asked: Asked) -> None:
    begin(asked.connection, BEFORE)
    asked.connection.event({"error": {"message": "overloaded"}})


def stall(asked: Asked) -> None:
    if asked.json().get("stream"):
        begin(asked.connection, BEFORE)
    else:
        asked.connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{")


def no_done(asked: Asked) -> None:
    begin(asked.connection, len(WORDS))
    finish(asked.connection)
    asked.connection.end()


def no_done_and_open(asked: Asked) -> None:
    begin(asked.connection, len(WORDS))
    finish(asked.connection)


def drip(asked: Asked) -> None:
    """The right answer, a few bytes at a time."""
    connection, sent = asked.connection, bytearray()
    send, connection.send = connection.send, sent.extend  # type: ignore[method-assign]
    well(asked)
    del connection.send

    def next_bytes() -> None:
        if sent and connection.closed_at is None:
            send(bytes(sent[:19]))
            del sent[:19]
            reactor.callLater(0.002, next_bytes)

    next_bytes()


CONTEXT = {"message": "This model's maximum context length is 10 tokens.", "code": "context_length_exceeded"}
FILTER = {"message": "The prompt was filtered.", "code": "content_filter"}
NO_CREDIT = {"message": "Your credit balance is too low to access the API.", "type": "invalid_request_error"}
NOT_HERE = {"message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}
NO_MODEL = {"message": "The model `x` does not exist.", "code": "model_not_found"}
TOKENS = {"message": "Request too large for model `x` on tokens per minute (TPM)", "code": "rate_limit_exceeded"}
RETRY_INFO = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}]}
FAULTS: dict[str, Callable[[Asked], None]] = {
    "well": well,
    "reset": reset,
    "half-a-head": half_a_head,
    "half-a-head-then-cut": half_a_head_then_cut,
    "silence": silence,
    "role-then-silence": role_then_silence,
    **{str(code): status(code) for code in (302, 401, 402, 403, 404, 405, 408, 409, 422, 425, 429)},
    **{str(code): status(code) for code in (500, 501, 502, 503, 504, 529)},
    "429-1s": once(status(429, retry_after="1")),
    "429-ms": once(status(429, retry_after_ms="400")),
    "429-date": once(lambda asked: status(429, retry_after=formatdate(reactor.seconds() + 2.0, usegmt=True))(asked)),
    "429-reset": once(
        status(429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="500ms"),
    ),
    "429-told": once(status(429, RETRY_INFO)),
    "no-credit": status(400, NO_CREDIT),
    "not-here": status(400, NOT_HERE),
    "no-model": status(404, NO_MODEL),
    "tokens-a-minute": status(413, TOKENS),
    "429-long": status(429, retry_after="77"),
    "503-1s": once(status(503, retry_after="1")),
    "503-long": status(503, retry_after="77"),
    "error-in-a-200": error_in_a_200,
    "error-first": error_first,
    "context": status(400, CONTEXT),
    "filter": status(400, FILTER),
    "half-json": half_json,
    "html": html,
    "not-http": not_http,
    "malformed-event": malformed_event,
    "malformed-then-end": malformed_then_end,
    "too-large": too_large,
    "cut": cut,
    "reset-after-words": reset_after_words,
    "ended-early": ended_early,
    "error-later": error_later,
    "stall": stall,
    "no-done": no_done,
    "no-done-and-open": no_done_and_open,
    "drip": drip,
}


class FaultServer(Vendor):
    """Does to each request what the model's name says."""

    def __init__(self) -> None:
        super().__init__(lambda asked: FAULTS[asked.json()["model"].partition(":")[0]](asked))

    def reset(self, model: str) -> None:
        """Break off the answer for ``model``."""
        next(asked for asked in self.asked if asked.json()["model"] == model).connection.reset()

    def times(self, model: str) -> list[float]:
        """When ``model`` was asked for."""
        return [asked.at for asked in self.asked if asked.json()["model"] == model]


class Deaf:
    """A port whose backlog is full: connections are neither taken nor refused."""

    def __init__(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self.port: int = listener.getsockname()[1]
        self._sockets = [listener]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            self._sockets.append(filler)

    def stop(self) -> None:
        for each in self._sockets:
            each.close()
