"""Going on with a broken answer where it stopped: what another one repeats is compared and left out. Pure."""

from __future__ import annotations

import attrs
import msgspec

from llmedge.dialects import ir


class Diverged(Exception):
    """The other answer is a different one."""


@attrs.define
class _Block:
    """What the client has of one block, as far as it was not repeated yet; ``marks`` are signatures and citations."""

    kind: str
    name: str
    left: str = ""
    closed: bool = False
    again: bool = False
    marks: int = 0


class Splicer:
    """Takes the events of a repeated answer, gives those the client does not have yet.

    :param seen: the events the client has.
    """

    def __init__(self, seen: list[ir.StreamEvent]) -> None:
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._finished: set[int] = set()
        for event in seen:
            if isinstance(event, ir.Open):
                self._blocks[event.choice, event.block] = _Block(event.kind, event.name)
            elif isinstance(event, ir.Delta):
                self._blocks[event.choice, event.block].left += event.text
            elif isinstance(event, ir.Close):
                self._blocks[event.choice, event.block].closed = True
            elif isinstance(event, ir.Sign | ir.Cite):
                self._blocks[event.choice, event.block].marks += 1
            elif isinstance(event, ir.Finish):
                self._finished.add(event.choice)

    def take(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        """:raises Diverged: the repeated answer says something else."""
        out: list[ir.StreamEvent] = []
        for event in events:
            if isinstance(event, ir.Begin):
                continue
            if isinstance(event, ir.Delta):
                self._delta(event, out)
            elif isinstance(event, ir.Open):
                self._open(event, out)
            elif isinstance(event, ir.Close):
                block = self._blocks.get((event.choice, event.block))
                if block is not None and block.left:
                    raise Diverged
                if block is None or not block.closed:
                    out.append(event)
            elif isinstance(event, ir.Sign | ir.Cite):
                self._mark(event, out)
            elif isinstance(event, ir.Finish):
                if any(
                    block.left or not block.again
                    for (choice, _), block in self._blocks.items()
                    if choice == event.choice
                ):
                    raise Diverged
                if event.choice not in self._finished:
                    out.append(event)
            else:
                out.append(event)
        return out

    def _open(self, event: ir.Open, out: list[ir.StreamEvent]) -> None:
        block = self._blocks.get((event.choice, event.block))
        if block is None:
            known = [block for (choice, _), block in self._blocks.items() if choice == event.choice]
            if any(each.left for each in known) or event.choice in self._finished:
                raise Diverged
            out.append(event)
        elif (block.kind, block.name) != (event.kind, event.name):
            raise Diverged
        else:
            block.again = True

    def _mark(self, event: ir.Sign | ir.Cite, out: list[ir.StreamEvent]) -> None:
        block = self._blocks.get((event.choice, event.block))
        if block is not None and block.marks:
            block.marks -= 1  # the client has it
        elif block is None or not block.closed:
            out.append(event)

    def _delta(self, event: ir.Delta, out: list[ir.StreamEvent]) -> None:
        block = self._blocks.get((event.choice, event.block))
        if block is None:
            out.append(event)
        elif block.left.startswith(event.text):
            block.left = block.left[len(event.text) :]
        elif event.text.startswith(block.left) and not block.closed:
            rest = event.text[len(block.left) :]
            block.left = ""
            out.append(ir.Delta(event.block, rest, event.choice, event.logprobs))
        else:
            raise Diverged


class Continuation:
    """Takes the events of an answer that was asked for with the first part as its beginning, and joins it on.

    :param seen: the events the client has: one text that is not closed, after thoughts perhaps.
    :param space: white space at its end that could not be said; it may come again.
    :param tokens: about how many the first part has: read this time, and written for the client all the same.
    """

    def __init__(self, seen: list[ir.StreamEvent], space: str, tokens: int = 0) -> None:
        self._tokens = tokens
        blocks = [event.block for event in seen if isinstance(event, ir.Open)]
        self._block = blocks[-1]
        self._next = blocks[-1] + 1
        self._space = space
        self._map: dict[int, int | None] = {}
        self._joined = False

    def take(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        """The events, in the blocks the client knows. Thoughts come too late and are left out."""
        out: list[ir.StreamEvent] = []
        for event in events:
            if isinstance(event, ir.Begin):
                continue
            if isinstance(event, ir.Counted):
                usage = event.usage
                read, written = max(0, usage.input - self._tokens), usage.output + self._tokens
                out.append(ir.Counted(msgspec.structs.replace(usage, input=read, output=written, estimated=True)))
            elif isinstance(event, ir.Open):
                self._open(event, out)
            elif isinstance(event, ir.Delta | ir.Close | ir.Sign | ir.Cite):
                block = self._map.get(event.block)
                if block is None:
                    continue
                if isinstance(event, ir.Delta) and block == self._block and self._space:
                    text = self._without_space(event.text)
                    if not text:
                        continue
                    event = ir.Delta(block, text, event.choice, event.logprobs)
                out.append(_in_block(event, block))
            else:
                if isinstance(event, ir.Finish) and not self._joined:
                    out.append(ir.Close(self._block))
                out.append(event)
        return out

    def _without_space(self, text: str) -> str:
        """``text`` less the white space the client has, which may come in pieces."""
        if self._space.startswith(text):
            self._space = self._space[len(text) :]
            return ""
        space, self._space = self._space, ""
        return text.removeprefix(space)

    def _open(self, event: ir.Open, out: list[ir.StreamEvent]) -> None:
        if event.kind == "thinking":
            self._map[event.block] = None
        elif event.kind == "text" and not self._joined:
            self._map[event.block] = self._block
            self._joined = True
        else:
            if not self._joined:
                out.append(ir.Close(self._block))
                self._joined = True
            self._map[event.block] = self._next
            self._next += 1
            out.append(ir.Open(self._next - 1, event.kind, event.choice, event.tool_id, event.name, event.signature))


def _in_block(event: ir.Delta | ir.Close | ir.Sign | ir.Cite, block: int) -> ir.StreamEvent:
    if event.block == block:
        return event
    if isinstance(event, ir.Delta):
        return ir.Delta(block, event.text, event.choice, event.logprobs)
    if isinstance(event, ir.Close):
        return ir.Close(block, event.choice)
    if isinstance(event, ir.Sign):
        return ir.Sign(block, event.signature, event.choice)
    return ir.Cite(block, event.citation, event.choice)


def spoken(seen: list[ir.StreamEvent]) -> str | None:
    """The text said so far, if it can be gone on with: one choice, thoughts perhaps, one open text at the end."""
    texts: list[str] = []
    kinds: dict[int, str] = {}
    last = ""
    for event in seen:
        if isinstance(event, ir.Open):
            if event.choice or event.kind not in ("text", "thinking") or last == "text":
                return None
            kinds[event.block] = last = event.kind
        elif isinstance(event, ir.Delta) and kinds.get(event.block) == "text":
            texts.append(event.text)
        elif isinstance(event, ir.Finish) or (isinstance(event, ir.Close) and kinds.get(event.block) == "text"):
            return None
    return "".join(texts) if last == "text" else None
