"""Streams whose texts are rewritten as they come. What is left as it is goes on as the bytes it was."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.guards.interfaces import Rewriter
from llmedge.guards.places import Unit, answered
from llmedge.model import Event, EventKind
from llmedge.pipeline.said import codec, read_frames
from llmedge.streams import Batch, FilteredStream, ReplyStream

replace = msgspec.structs.replace
_encode = msgspec.json.encode
PAST = 4096
"""Events that the encoder may be told of later."""
LONG = 32
"""Characters of one event that do not wait for what is held back behind them."""
Key = tuple[int, int]
"""Choice and block."""


class Block:
    """One block of an answer.

    :ivar said: its text so far, as it came.
    :ivar owed: what was read of it and is held back, while nothing was changed.
    :ivar ready: what may go on and has not.
    :ivar carried: characters at the beginning of ``ready``, or to come there, that are of events that have gone on.
    :ivar given: characters that came out of its rewriter; ``read``: that went into it.
    """

    __slots__ = ("carried", "given", "kind", "owed", "read", "ready", "rewriter", "said")

    def __init__(self, kind: str, rewriter: Rewriter) -> None:
        self.kind, self.rewriter = kind, rewriter
        self.owed = self.ready = ""
        self.given = self.read = self.carried = 0
        self.said: list[str] = []


class Held:
    """An event that waits for its text.

    :ivar says: it does not only begin something, or count. ``ends``: by block, how far that is read with it;
        ``sizes``: its own part.
    """

    __slots__ = ("ends", "event", "said", "says", "sizes")

    def __init__(self, event: Event, said: list[ir.StreamEvent]) -> None:
        self.event, self.said = event, said
        self.says = event.kind is EventKind.DONE or (
            event.kind is EventKind.CONTENT and any(not isinstance(each, ir.Begin | ir.Counted) for each in said)
        )
        self.ends: dict[Key, int] = {}
        self.sizes: dict[Key, int] = {}


class RewrittenStream(FilteredStream):
    """A chat's stream, or a legacy completion's, each block of which has a rewriter of its own.

    Events wait for as long as a text in them is held back. From the first change on the client gets what its dialect's
    encoder makes of all that follows: events of vendors say texts once more at their end.
    """

    def __init__(self, stream: ReplyStream, call: Call) -> None:
        super().__init__(stream)
        self.call = call
        self.changed = False
        self.sent = False
        """Something of the answer is out."""
        self.begin = ir.Begin()
        self._decoder, self._encoder = codec(call)
        self._blocks: dict[Key, Block] = {}
        self._texts_of: dict[tuple[int, str], Rewriter] = {}
        self._queue: deque[Held] = deque()
        self._around = b""
        """What was around the text of an event that was looked at."""
        self._past: list[ir.StreamEvent] = []
        """What the encoder has not been told of yet, as nothing was asked of it: bytes have gone on."""

    @abstractmethod
    def rewriter(self, kind: str) -> Rewriter:
        """One for a block of this kind, whose text comes in pieces."""

    @abstractmethod
    def other(self, unit: Unit) -> bool:
        """Whether texts of an event that are none of its blocks' have to be changed."""

    @abstractmethod
    def whole(self, text: str) -> str:
        """One of those, as it may go on."""

    def on_events(self, events: Batch) -> Batch:
        out: Batch = []
        for event in events:
            self._take(event, read_frames(self._decoder, [event]))
            out += self._released()
        self.sent = self.sent or any(event.kind is EventKind.CONTENT for event in out)
        return out

    def _take(self, event: Event, said: list[ir.StreamEvent]) -> None:
        held = Held(event, said)
        for each in said:
            if isinstance(each, ir.Delta):
                self._delta(held, each)
            elif isinstance(each, ir.Begin):
                self.begin = each
            elif isinstance(each, ir.Open):
                self._blocks[each.choice, each.block] = Block(each.kind, self._rewriter_of(each))
            elif isinstance(each, ir.Close):
                block = self._blocks.get((each.choice, each.block))
                if block is not None:
                    self._come(block, block.rewriter.end(), "")
        if not self.changed and event.frame and self._others(event, said):
            self.changed = True
        self._queue.append(held)

    def _rewriter_of(self, event: ir.Open) -> Rewriter:
        """A chat of OpenAI's has one text of each kind: its client puts together what something else was between."""
        if self.call.dialect != "openai_chat" or event.kind == "tool":
            return self.rewriter(event.kind)
        key = event.choice, event.kind
        if key not in self._texts_of:
            self._texts_of[key] = self.rewriter(event.kind)
        return self._texts_of[key]

    def _delta(self, held: Held, delta: ir.Delta) -> None:
        key = delta.choice, delta.block
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = Block("text", self.rewriter("text"))
        block.read += len(delta.text)
        held.ends[key] = block.read
        held.sizes[key] = held.sizes.get(key, 0) + len(delta.text)
        if block.kind == "audio":
            self._come(block, delta.text, delta.text)
            return
        if not self.changed:
            block.said.append(delta.text)
        self._come(block, block.rewriter.feed(delta.text), delta.text)

    def _come(self, block: Block, given: str, read: str) -> None:
        block.ready += given
        block.given += len(given)
        if not self.changed:
            block.owed += read
            if block.owed.startswith(given):
                block.owed = block.owed[len(given) :]
            else:
                self.changed = True

    def _others(self, event: Event, said: list[ir.StreamEvent]) -> bool:
        """What else is said in an event."""
        known = {each.text for each in said if isinstance(each, ir.Delta)}
        around = b""
        if len(known) == 1:
            around = event.frame.replace(_encode(*known), b"", 1)
            if around == self._around:
                return False  # all but its text is as it was in the one before, nearly always
        elif not known:  # it may say once more what its blocks have said
            known = {"".join(block.said) for block in self._blocks.values()}
        if any(self.other(unit) or unit.changed for unit in units_of(event.frame, known)):
            return True  # or a name stands twice, of which the encoder says the one that was looked at
        self._around = around
        return False

    # What goes on

    def encode(self, said: list[ir.StreamEvent]) -> Batch:
        """The frames of what goes on."""
        past, self._past = self._past, []
        if past:
            self._encoder.encode(past)
        return self._encoder.encode(said)

    def instead(self, said: list[ir.StreamEvent]) -> Batch:
        """The frames of a whole answer, where nothing of this one is out."""
        _, encoder = codec(self.call)
        return encoder.encode([self.begin, *said])

    def gone(self, said: list[ir.StreamEvent]) -> None:
        """The vendor's own frames of it have gone on."""
        self._past += said
        if len(self._past) > PAST:
            self.encode([])

    def _released(self) -> Batch:
        queue, out = self._queue, []
        if self.changed:
            while queue:
                out += self.encode(list(self._rewritten(queue.popleft().said)))
        else:
            while queue and (group := self._next()):
                out += self._raw(group) if self._is_complete(group[-1]) else self._partly(group)
        return out

    def _next(self) -> list[Held]:
        """The next event that can go on, behind those that say nothing yet: what begins an answer or a block goes with
        what is said in it, and what a decoder makes something of only later goes with that."""
        size = next((at for at, held in enumerate(self._queue) if held.says), -1)
        if size < 0 or not (self._is_complete(self._queue[size]) or self._is_long(self._queue[size])):
            return []
        return [self._queue.popleft() for _ in range(size + 1)]

    def _raw(self, group: list[Held]) -> Batch:
        out = self._carried(group[-1])
        for held in group:
            for key, size in held.sizes.items():
                block = self._blocks[key]
                block.ready = block.ready[size:]
            self.gone(held.said)
            out.append(held.event)
        return out

    def _partly(self, group: list[Held]) -> Batch:
        """As much of it as is not held back; the rest goes in front of what follows."""
        out = self._carried(group[-1])
        for held in group:
            out += self.encode(list(self._rewritten(held.said)))
            for key, end in held.ends.items():
                self._blocks[key].carried = end - self._blocks[key].given
        return out

    def _is_complete(self, held: Held) -> bool:
        return all(self._blocks[key].given >= end for key, end in held.ends.items())

    def _is_long(self, held: Held) -> bool:
        """It has so much text that what of it may go on does not wait for the rest."""
        if self.call.dialect == "openai_responses":  # whose events are numbered, and name what they belong to
            return False
        waiting = sum(end - self._blocks[key].given for key, end in held.ends.items())
        return sum(held.sizes.values()) - waiting >= LONG

    def _carried(self, held: Held) -> Batch:
        """What was held back of events that have gone on, in front of the next one of the same block."""
        said: list[ir.StreamEvent] = []
        for key in {(each.choice, each.block) for each in held.said if isinstance(each, ir.Delta | ir.Close)}:
            block = self._blocks.get(key)
            if block is not None and block.carried and (text := block.ready[: block.carried]):
                said.append(ir.Delta(key[1], text, key[0]))
                block.ready, block.carried = block.ready[len(text) :], block.carried - len(text)
        return self.encode(said) if said else []

    def _rewritten(self, said: list[ir.StreamEvent]) -> Iterator[ir.StreamEvent]:
        for event in said:
            if isinstance(event, ir.Delta | ir.Close):
                block = self._blocks.get((event.choice, event.block))
                if block is not None and block.ready:
                    yield ir.Delta(event.block, block.ready, event.choice)
                    block.ready = ""
                if isinstance(event, ir.Close):
                    yield event
            elif isinstance(event, ir.Cite):
                yield self.cited(event)
            else:
                yield event

    def cited(self, event: ir.Cite) -> ir.Cite:
        """What is cited, as it may go on."""
        cited = event.citation
        quote, title = self.whole(cited.quote), self.whole(cited.title)
        return replace(event, citation=replace(cited, quote=quote, title=title))


def units_of(frame: bytes, known: set[str]) -> Iterator[Unit]:
    """What the data of events says, but for texts that are ``known``."""
    for block in frame.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join([line[5:] for line in block.split(b"\n") if line.startswith(b"data:")]).strip()
        if data[:1] == b"{":
            try:
                yield answered(data, known=known)
            except ValueError:
                continue


class Chain:
    """Rewriters one after the other, as one."""

    def __init__(self, rewriters: list[Rewriter]) -> None:
        self._rewriters = rewriters

    def feed(self, text: str) -> str:
        """What may go on now."""
        for each in self._rewriters:
            text = each.feed(text)
        return text

    def end(self) -> str:
        """The rest of it."""
        text = ""
        for each in self._rewriters:
            text = (each.feed(text) if text else "") + each.end()
        return text
