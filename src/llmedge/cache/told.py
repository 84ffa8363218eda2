"""What a client is told of the cache: ``Cache-Status`` (RFC 9211), ``Age`` (RFC 9111 section 5.1) and headers of our
own, as lines of a head. Answers are their client's alone: whatever is between knows nothing of keys."""

from __future__ import annotations

_PRIVATE = b"Cache-Control: private, no-store\r\n"
_LINE = b"X-Llmedge-Cache: %b\r\nCache-Status: llmedge; %b\r\n"


def _forwarded(how: str, status: str) -> dict[bool, bytes]:
    """By whether it is a stream, whose head has its Cache-Control already."""
    line = _LINE % (how.encode(), status.encode())
    return {True: line, False: line + _PRIVATE}


MISS = _forwarded("MISS", "fwd=miss")
STALE = _forwarded("MISS", "fwd=stale")
PARTIAL = _forwarded("MISS", "fwd=partial")
REFRESH = _forwarded("REFRESH", "fwd=request")
STORED = {
    MISS[False]: _forwarded("MISS", "fwd=miss; stored")[False],
    STALE[False]: _forwarded("MISS", "fwd=stale; stored")[False],
    REFRESH[False]: _forwarded("REFRESH", "fwd=request; stored")[False],
}
"""Of whole answers, once they are kept. Of a stream that is known when its head has gone."""
BYPASS = _forwarded("BYPASS", "fwd=bypass")
COLLAPSED = _forwarded("COLLAPSED", "fwd=miss; collapsed")


def hit(how: str, level: str, age: float, ttl: float, saved: str, stream: bool) -> bytes:
    """Of an answer that was kept ``age`` seconds ago and is fresh for ``ttl`` more.

    :param saved: USD, ``""`` where nobody knows.
    """
    line = (
        f"X-Llmedge-Cache: {how}\r\nAge: {int(age) if age > 0 else 0}\r\n"
        f"Cache-Status: llmedge; hit; ttl={int(ttl)}; detail={level}\r\n"
    ).encode()
    if saved:
        line += spared(saved)
    return line if stream else line + _PRIVATE


def spared(saved: str) -> bytes:
    """What did not have to be paid, in USD."""
    return b"X-Llmedge-Cache-Saved-Usd: %b\r\n" % saved.encode()
