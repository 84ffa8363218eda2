"""A stream of OpenAI's legacy completions → the IR: each choice is one block of text."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.openai_answer import parse_usage
from llmedge.dialects.openai_chat.chunks import FINISH
from llmedge.dialects.sse import SseReader
from llmedge.errors import UpstreamMalformed


class _Choice(msgspec.Struct):
    text: str | None = None
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str = ""
    model: str = ""
    created: Any = 0
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Chunk).decode


class TextDecoder(SseReader[ir.StreamEvent]):
    """Reads one."""

    def __init__(self, max_event: int) -> None:
        super().__init__(max_event)
        self._open: set[int] = set()
        self._begun = False

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if data == b"[DONE]":
            self.done = True
            items += [ir.Close(0, choice) for choice in sorted(self._open)]
            items.append(ir.End())
            return
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamMalformed("sent a chunk that is none") from None
        if not self._begun:
            self._begun = True
            created = chunk.created if isinstance(chunk.created, int) else 0
            items.append(ir.Begin(chunk.id, chunk.model, created))
        for choice in chunk.choices or ():
            if choice.index not in self._open:
                self._open.add(choice.index)
                items.append(ir.Open(0, "text", choice.index))
            if choice.text:
                items.append(ir.Delta(0, choice.text, choice.index))
            if choice.finish_reason is not None:
                self._open.discard(choice.index)
                reason = FINISH.get(choice.finish_reason, "stop")
                items += [ir.Close(0, choice.index), ir.Finish(reason, choice.index)]
        if (usage := parse_usage(chunk.usage)) is not None:
            items.append(ir.Counted(usage))
