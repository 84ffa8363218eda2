"""Texts in pieces that a service takes, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


class Pieces:
    """Texts, cut where they are longer than ``most`` characters, in batches that have no more together.

    A text is cut behind the last white space within its limit: what stands on both sides of a cut is seen by nobody.

    :param each: pieces of a batch, at most. ``gap``: characters that are put between two of them.
    :ivar batches: lists of pieces. A text that is empty is in none.
    """

    def __init__(self, texts: Sequence[str], most: int, each: int = 1 << 30, gap: int = 0) -> None:
        self._texts = texts
        self._owners: list[int] = []
        self.batches: list[list[str]] = []
        room = 0
        for number, text in enumerate(texts):
            for piece in cut(text, most):
                if len(piece) > room or len(self.batches[-1]) >= each:
                    self.batches.append([])
                    room = most
                self.batches[-1].append(piece)
                self._owners.append(number)
                room -= len(piece) + gap

    def whole(self, pieces: Iterable[str]) -> list[str]:
        """The texts again, of pieces that stand in the place of the batches', in their order.

        :raises ValueError: there are more or fewer.
        """
        texts = [""] * len(self._texts)
        for number, piece in zip(self._owners, pieces, strict=True):
            texts[number] += piece
        return texts


def cut(text: str, most: int) -> Iterator[str]:
    """Pieces of ``text`` of at most ``most`` characters each; none of an empty one."""
    at = 0
    while len(text) - at > most:
        end = max(text.rfind(" ", at, at + most), text.rfind("\n", at, at + most)) + 1
        if end <= at + most // 2:  # there is none, or the piece would be small
            end = at + most
        yield text[at:end]
        at = end
    if at < len(text):
        yield text[at:]
