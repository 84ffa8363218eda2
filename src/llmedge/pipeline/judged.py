"""A stream under checkers, which judge it by sentences, when it is whole, or afterwards."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

import attrs

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.errors import EdgeError
from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import CalledTool, Material, Medium, Place, Rewriter
from llmedge.guards.places import Unit
from llmedge.guards.verdicts import Stop, Tally
from llmedge.model import EventKind
from llmedge.pipeline.guarded_stream import StoppableStream, Told
from llmedge.pipeline.rewritten import Block, Chain, Held, Key
from llmedge.pipeline.said import read_frames
from llmedge.streams import Batch, ReplyStream

HELD = 16777216
"""Bytes of a stream that are held until they are judged."""
BEFORE = 2000
"""Characters of what has gone on that a checker sees besides the next sentence."""
LONG = 600
"""Characters that are judged even if no sentence ends in them."""
_ENDED = re.compile("[.!?\u2026][\"')\\]\u00bb\u201d]*\\s|[\u3002\uff01\uff1f\n]")


@attrs.define(eq=False)
class _Text:
    """A block's text that is not judged yet."""

    kind: str
    tool: str = ""
    id: str = ""
    text: str = ""
    closed: bool = False


class JudgedStream(StoppableStream):
    """:param mode: ``sentence``, ``hold`` or ``after``."""

    def __init__(self, stream: ReplyStream, call: Call, tallies: Sequence[Tally], mode: str, over: Told) -> None:
        self._tallies = tallies
        self._mode = mode
        self._texts: dict[Key, _Text] = {}
        self._besides: dict[tuple[Any, ...], tuple[str, Place]] = {}
        """Texts of no block that are not judged yet, each as it came and as it stands: what tools of the vendor's are
        asked and find, and what is cited."""
        self._pieces: dict[tuple[Any, ...], str] = {}
        """Of those that come in pieces: all of each."""
        self._called: list[CalledTool] = []
        """Calls of the vendor's own tools that are not judged yet."""
        self._known: set[Any] = set()
        """Calls that were noted, and names and ids of those that are blocks."""
        self._instead: dict[str, str] = {}
        self._before = ""
        self._size = 0
        super().__init__(stream, call, over)

    def on_events(self, events: Batch) -> Batch | Awaitable[Batch]:  # type: ignore[override]  # now or later
        done = events[-1].kind is EventKind.DONE
        try:
            for event in events:
                said = read_frames(self._decoder, [event])
                self._queue.append(Held(event, said))
                self._size += len(event.frame)
                for each in said:
                    self._collect(each)
                self.changed |= self._others(event, said)
            if self._size > HELD:
                for tally in self._tallies:
                    tally.fail("too_large")
        except EdgeError:
            self.broken_off()
            raise
        if self._mode == "after":
            self._queue.clear()
            self._size = 0
            return self._afterwards(events) if done else events
        if done or self._size > HELD or (self._mode == "sentence" and self._is_due()):
            return self._judged(done)
        return []

    def _collect(self, event: ir.StreamEvent) -> None:
        if isinstance(event, ir.Begin):
            self.begin = event
        if isinstance(event, ir.Open):
            self._texts[event.choice, event.block] = _Text(event.kind, event.name, event.tool_id)
            self._blocks[event.choice, event.block] = Block(event.kind, Chain([]))
            self._known |= {event.name, event.tool_id}
            if event.kind == "audio":
                for tally in self._tallies:
                    tally.cannot_read([Medium("audio", "response")])
        elif isinstance(event, ir.Delta | ir.Close):
            block = self._texts.get((event.choice, event.block))
            if block is not None and isinstance(event, ir.Close):
                block.closed = True
            elif block is not None and isinstance(event, ir.Delta) and block.kind != "audio":
                block.text += event.text
                self._blocks[event.choice, event.block].said.append(event.text)

    def other(self, unit: Unit) -> bool:
        """Noted. It does not go on before it is judged, together with all that it is a piece of."""
        for slot in unit.slots:
            key, text = (unit.piece or object(), slot.message, slot.key), slot.text
            if unit.piece is not None:
                text = self._pieces[key] = self._pieces.get(key, "") + text
            place = Place("response", text, "assistant", slot.kind, slot.message, tool=slot.tool)
            self._besides[key] = text, place
        for each in unit.called:
            noted = each.name, each.id, each.arguments
            if each.name and self._known.isdisjoint((noted, each.name, each.id or noted)):
                self._known.add(noted)
                self._called.append(each)
        return False

    def _is_due(self) -> bool:
        """Something can be judged: arguments of tools only whole."""
        waiting = [each for each in self._texts.values() if each.text]
        if any(each.kind == "tool" and not each.closed for each in waiting):
            return False
        return any(each.closed or len(each.text) > LONG or _ENDED.search(each.text) for each in waiting)

    def _material(self, done: bool) -> tuple[list[tuple[Key, Place]], Material]:
        placed: list[tuple[Key, Place]] = []
        said: dict[int, str] = {}
        called = self._called
        for key, each in self._texts.items():
            if each.kind == "tool" and (each.text or each.closed) and each.tool:
                called.append(CalledTool(each.tool, each.text or "{}", each.id))
            if not each.text:
                continue
            kind = {"tool": "arguments"}.get(each.kind, each.kind)
            placed.append((key, Place("response", each.text, "assistant", kind, key[0], tool=each.tool)))
            if each.kind == "text":
                said[key[0]] = said.get(key[0], "") + each.text
        position = "end" if done else "part"
        places = [place for _, place in (*placed, *self._besides.values())]
        answer = [text for _, text in sorted(said.items())]
        return placed, Material(
            "response", places, self.call, [], called, [], answer, "end" if position == "end" else "part", self._before
        )

    async def _judged(self, done: bool) -> Batch:
        placed, material = self._material(done)
        try:
            if material.places or done:
                await check_all([each for each in self._tallies if not each.failed], material, self.call.deadline.clock)
        except Stop as stop:
            return self.stop(stop)
        except EdgeError:
            self.broken_off()
            raise
        texts = {key: place.text for key, place in placed}
        self._instead = {text: place.text for text, place in self._besides.values() if text != place.text}
        self.changed = (
            self.changed or any(text != self._texts[key].text for key, text in texts.items()) or bool(self._instead)
        )
        out: Batch = []
        while self._queue:
            held = self._queue.popleft()
            if self.changed:
                out += self.encode(list(self._with(held.said, texts)))
            else:
                self.gone(held.said)
                out.append(held.event)
        self.sent = self.sent or any(event.kind is EventKind.CONTENT for event in out)
        self._before = (self._before + "".join(texts.values()))[-BEFORE:]
        self._texts = {key: each for key, each in self._texts.items() if not each.closed}
        for each in self._texts.values():
            each.text = ""
        self._besides, self._called, self._size = {}, [], 0
        return out

    async def _afterwards(self, events: Batch) -> Batch:
        """The end waits for what is told of it; nothing is stopped any more."""
        _, material = self._material(True)
        try:
            await check_all(self._tallies, material, self.call.deadline.clock)
        except (Stop, EdgeError):
            pass  # the tally has it
        return events

    def rewriter(self, kind: str) -> Rewriter:
        return Chain([])

    def whole(self, text: str) -> str:
        return self._instead.get(text, text)

    def _with(self, said: list[ir.StreamEvent], texts: dict[Key, str]) -> Iterator[ir.StreamEvent]:
        """What is said, with other texts: all of a block's with its first piece."""
        for event in said:
            if isinstance(event, ir.Cite):
                yield self.cited(event)
            elif not isinstance(event, ir.Delta) or (event.choice, event.block) not in texts:
                yield event
            elif text := texts[event.choice, event.block]:
                texts[event.choice, event.block] = ""
                yield ir.Delta(event.block, text, event.choice)
