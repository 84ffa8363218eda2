"""How much text a stream has brought, in constant memory: counts are kept, and a first piece, not frames."""

from __future__ import annotations

from llmedge.model import EventKind
from llmedge.pipeline.tokens import text_in
from llmedge.streams import Batch

SAMPLE = 1024
"""Bytes of frames that are kept to see how much of a frame is text."""
TEXT = 4096
"""Bytes of text that are kept for the tokenizer: how many of them make a token."""
LARGEST = 65536
"""Bytes of a frame that is kept; a longer one is taken to be all text."""

_CONTENT = EventKind.CONTENT


class Meter:
    """Measures the content that goes by, by the length of its frames.

    :ivar count: content events; ``length``: the bytes of their frames.
    """

    def __init__(self) -> None:
        self.count = self.length = 0
        self._first: Batch = []
        self._left = SAMPLE

    def add(self, events: Batch) -> None:
        for event in events:
            if event.kind is _CONTENT:
                size = len(event.frame)
                self.count += event.count
                self.length += size
                if self._left > 0 and size < LARGEST:
                    self._left -= size
                    self._first.append(event)

    @property
    def said(self) -> int:
        """Bytes of text, about: frames are as much longer than what the first ones have around their text."""
        first = self._first
        if not first:
            return self.length
        text = sum(len(text_in(event.frame).encode(errors="replace")) for event in first)
        around = sum(len(event.frame) for event in first) - text
        return max(text, round(self.length - around * self.count / sum(event.count for event in first)))


class TextMeter(Meter):
    """Measures the text itself: for a stream whose usage may have to be estimated when it is whole.

    :ivar text: the first of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said = self._kept = 0
        self.text = ""

    def add(self, events: Batch) -> None:
        for event in events:
            if event.kind is _CONTENT:
                self.count += event.count
                text = text_in(event.frame)
                size = len(text.encode(errors="replace"))
                self._said += size
                if size and self._kept < TEXT:
                    text = text[: TEXT - self._kept]
                    self.text += text  # one string: a list of short ones takes ten times their text
                    self._kept += len(text.encode(errors="replace"))

    @property
    def said(self) -> int:
        return self._said

    @property
    def beyond(self) -> float:
        """By how much all of the text is longer than :attr:`text`."""
        return self._said / self._kept if self._kept else 1.0
