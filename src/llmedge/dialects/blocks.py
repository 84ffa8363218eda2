"""The blocks of a stream as decoders open and close them."""

from __future__ import annotations

from typing import Any, Literal

from llmedge.dialects import ir

Kind = Literal["text", "thinking", "refusal", "tool", "audio"]


class BlockWriter:
    """Writes the beginnings and ends of one choice's blocks, which it numbers. One block is open at a time, but for
    those that :meth:`add` begins.

    :ivar count: of the blocks begun so far.
    :ivar kind: of the open block, which has this ``number``; empty if there is none.
    """

    __slots__ = ("_choice", "count", "kind", "number")

    def __init__(self, choice: int = 0) -> None:
        self.kind = ""
        self._choice = choice
        self.count = 0
        self.number = -1

    def add(self, kind: Kind, items: list[ir.StreamEvent], **more: Any) -> int:
        """Begin a block that stands beside the open one and is closed by the caller; its number.

        :param more: fields of :class:`~llmedge.dialects.ir.Open`.
        """
        number = self.count
        self.count += 1
        items.append(ir.Open(number, kind, self._choice, **more))
        return number

    def open(self, kind: Kind, items: list[ir.StreamEvent], **more: Any) -> int:
        """Close the open block and begin the next; its number."""
        self.close(items)
        self.kind = kind
        self.number = self.add(kind, items, **more)
        return self.number

    def at(self, kind: Kind, items: list[ir.StreamEvent]) -> int:
        """The number of the open block, if it is of this kind, else of the next, which is begun."""
        return self.number if self.kind == kind else self.open(kind, items)

    def redacted(self, signature: str, items: list[ir.StreamEvent]) -> None:
        """A thought of which nothing but its proof is shown."""
        self.open("thinking", items, signature=signature, redacted=True)
        self.close(items)

    def close(self, items: list[ir.StreamEvent]) -> None:
        """End the open block, if there is one."""
        if self.kind:
            self.kind = ""
            items.append(ir.Close(self.number, self._choice))
