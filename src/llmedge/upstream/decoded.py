"""Answers that are compressed although it was asked that they are not: decompressed as they are read, within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import UpstreamCut, UpstreamMalformed, UpstreamTooLarge
from llmedge.upstream.exchange import MORE, Body, Exchange, Owed, State


def decoded(exchange: Exchange, limits: Upstream) -> Body:
    """``exchange`` with its body as it was before it was compressed (RFC 9110 section 8.4.1)."""
    coding = exchange.fields.get(b"content-encoding", b"").strip().lower()
    if coding in _PLAIN:
        return exchange
    return Decoded(exchange, limits, _INFLATE.get(coding, _unknown))


_PLAIN = (b"", b"identity", b"none", b"utf-8", b"utf8")
"""No compression; the last three are none of HTTP's words, and mistaken servers'."""


def _unknown(data: bytes) -> Any:
    raise UpstreamMalformed("compressed its answer although it was asked not to, and in a way that is not read here")


def _inflate_gzip(data: bytes) -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _inflate_deflate(data: bytes) -> Any:
    """In zlib's frame, as it should be, or bare, as some send it."""
    return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)


_INFLATE: Mapping[bytes, Callable[[bytes], Any]] = {
    b"gzip": _inflate_gzip,
    b"x-gzip": _inflate_gzip,
    b"deflate": _inflate_deflate,
}


class Decoded:
    """An exchange of which the decompressed body is read.

    Reading raises :class:`~llmedge.errors.UpstreamMalformed` where it cannot be decompressed, besides what an exchange
    raises. No more comes of it than would of any other: of a whole
    answer ``upstream.max_response_size``, at a time of a stream ``max_event_size``, however small it was made."""

    def __init__(self, exchange: Exchange, limits: Upstream, begin: Callable[[bytes], Any]) -> None:
        self._exchange = exchange
        self._limits = limits
        self._begin = begin
        self._inflate: Any = None
        self.status = exchange.status
        self.fields = {
            name: value
            for name, value in exchange.fields.items()
            if name not in (b"content-encoding", b"content-length")
        }

    @property
    def state(self) -> State:
        return self._exchange.state

    def take(self) -> bytes | None:
        while (data := self._exchange.take()) is not None:
            if not data:
                self._check_end()
                return b""
            if plain := self._decode(data, self._limits.max_event_size, "max_event_size"):
                return plain
        return None

    async def read_all(self) -> bytes:
        limit = self._limits.max_response_size
        self._exchange.check_length(limit)
        parts: list[bytes] = []
        room = limit
        while data := await self._exchange.read():
            parts.append(self._decode(data, room, "max_response_size"))
            room -= len(parts[-1])
        self._check_end()
        return b"".join(parts)

    def _decode(self, data: bytes, room: int, setting: str) -> bytes:
        parts: list[bytes] = []
        try:
            while data:
                if self._inflate is None:
                    self._inflate = self._begin(data)
                elif self._inflate.eof:
                    if not data.startswith(b"\x1f"):
                        break  # padding, as gzip lets it be
                    self._inflate = self._begin(data)
                parts.append(self._inflate.decompress(data, room + 1))
                room -= len(parts[-1])
                if room < 0:
                    limit = getattr(self._limits, setting)
                    raise UpstreamTooLarge(f"answered with more than {limit} bytes (upstream.{setting}), compressed")
                data = self._inflate.unused_data
        except zlib.error:
            self.abort()
            raise UpstreamMalformed("compressed its answer, and not as it says") from None
        except UpstreamTooLarge:
            self.abort()
            raise
        return b"".join(parts)

    def _check_end(self) -> None:
        if self._inflate is not None and not self._inflate.eof:
            raise UpstreamCut("sent an answer that is compressed, and not all of it")

    # As of any exchange.

    def listen(self, wake: Callable[[], None] | None) -> None:
        self._exchange.listen(wake)

    def expect(self, patience: float | None = None, owed: Owed = MORE) -> None:
        self._exchange.expect(patience, owed)

    def drain(self) -> None:
        self._exchange.drain()

    def abort(self) -> None:
        self._exchange.abort()
