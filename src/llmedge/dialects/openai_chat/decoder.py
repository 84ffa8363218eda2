"""Chat completion chunks → the IR (platform.openai.com/docs/api-reference/chat/streaming)."""

from __future__ import annotations

from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.blocks import BlockWriter, Kind
from llmedge.dialects.lenient import UNREADABLE, flat, whole
from llmedge.dialects.openai_answer import parse_error
from llmedge.dialects.openai_chat.calls import Calls
from llmedge.dialects.openai_chat.chunks import (
    Choice,
    Message,
    PlainChoice,
    citation,
    decode,
    decode_plain,
    label,
    logprobs,
    pieces,
)
from llmedge.dialects.openai_chat.thoughts import read_detail
from llmedge.dialects.openai_chunks import LAST
from llmedge.dialects.sse import SseReader
from llmedge.errors import UpstreamCut, UpstreamMalformed, VendorFailed


class _Open:
    """One choice, and its blocks: of tool calls several may be open.

    A reason is not its end: Ollama gives ``stop`` with thoughts, others with each chunk (open-webui/open-webui#16377).

    :ivar last: gave the last reason.
    :ivar said: there is more since then.
    :ivar finished: its end is told.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.blocks = BlockWriter(index)
        self.calls = Calls(self.blocks, index)
        self.refused = False
        self.last: Choice | None = None
        self.said = False
        self.finished = False

    def finish(self, items: list[ir.StreamEvent]) -> None:
        """Tell its end, if a reason was given and it is not told yet."""
        if self.last is not None and not self.finished:
            reason, met = self.last.ended(self.calls.called, self.refused)
            self.blocks.close(items)
            self.calls.close(items)
            self.finished = True
            items.append(ir.Finish(reason, self.index, met))


class Decoder(SseReader[ir.StreamEvent]):
    """A vendor's chunks into the IR.

    :param choices: how many answers were asked for.
    """

    last = LAST

    def __init__(self, *, choices: int, max_event: int) -> None:
        super().__init__(max_event)
        self._wanted = choices
        self._begun = False
        self._choices: dict[int, _Open] = {}

    @property
    def complete(self) -> bool:
        states = self._choices.values()
        return len(states) >= max(1, self._wanted) and all(state.last and not state.said for state in states)

    def flush(self) -> list[ir.StreamEvent]:
        items: list[ir.StreamEvent] = []
        for choice in self._choices.values():
            choice.calls.begin(items)
            if not choice.said:
                choice.finish(items)
        return items

    def _end(self, items: list[ir.StreamEvent]) -> None:
        super()._end(items)
        if not self.done:
            self._close(items)

    def _close(self, items: list[ir.StreamEvent]) -> None:
        for state in self._choices.values():
            state.finish(items)
        self.done = True
        items.append(ir.End())

    def _take(self, name: bytes, data: bytes, items: list[ir.StreamEvent]) -> None:
        if data == b"[DONE]":
            if not self._choices or not all(state.last for state in self._choices.values()):
                raise UpstreamCut("ended its stream without an answer")
            self._close(items)
            return
        if self._begun and not name:
            try:
                plain = decode_plain(data)
            except UNREADABLE:
                pass
            else:
                for one in plain.choices:
                    self._text(one, items)
                return
        try:
            chunk = decode(data)
            if chunk.error or name == b"error":
                raise VendorFailed(f"failed while answering: {parse_error(data).message or 'it gave no reason'}")
            if not self._begun:
                self._begun = True
                begin = ir.Begin(label(chunk.id), label(chunk.model), chunk.seconds, label(chunk.service_tier))
                items.append(begin)
            for number, choice in enumerate(chunk.said):
                self._choice(choice, number, items)
        except UNREADABLE:
            raise UpstreamMalformed("sent an event that is not a chunk of an answer") from None
        if (usage := chunk.counted()) is not None:
            items.append(ir.Counted(usage))

    def _text(self, choice: PlainChoice, items: list[ir.StreamEvent]) -> None:
        index, delta = choice.index, choice.delta
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Open(index)
        thought = delta.reasoning_content or delta.reasoning
        if thought or delta.content:
            state.said, state.finished = True, False
        if thought:
            items.append(ir.Delta(self._plain(state, "thinking", items), thought, index))
        if delta.content:
            items.append(ir.Delta(self._plain(state, "text", items), delta.content, index))

    def _choice(self, choice: Choice, number: int, items: list[ir.StreamEvent]) -> None:
        index = whole(choice.index)
        if index is None:
            index = number
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Open(index)
        before = len(items)
        if isinstance(choice.delta, Message):
            self._delta(choice.delta, choice, state, items)
        if isinstance(choice.message, Message) and not state.blocks.count and not state.calls.called:
            self._delta(choice.message, choice, state, items)  # all of it at once; else it repeats what was said
        if len(items) > before:
            state.said, state.finished = True, False
        if choice.finish_reason and (state.said or state.last is None):  # else some vendors repeat it with the usage
            choice.ended(False, False)  # it may have failed
            state.last, state.said = choice, False

    def _delta(self, delta: Message, choice: Choice, state: _Open, items: list[ir.StreamEvent]) -> None:
        index = state.index
        if thought := delta.thought:
            items.append(ir.Delta(self._plain(state, "thinking", items), thought, index))
        if delta.reasoning_details:
            self._details(delta.reasoning_details, bool(thought), state, items)
        content = delta.content
        if type(content) is str:
            likely = logprobs(choice)
            if content or likely:
                items.append(ir.Delta(self._plain(state, "text", items), content, index, likely))
        elif content is not None:
            for kind, text in pieces(content):
                state.refused = state.refused or kind == "refusal"
                items.append(ir.Delta(self._plain(state, kind, items), text, index))
        if isinstance(delta.annotations, list):
            for each in delta.annotations:
                if (cite := citation(each)) is not None:
                    items.append(ir.Cite(self._plain(state, "text", items), cite, index))
        if refusal := flat(delta.refusal):
            state.refused = True
            items.append(ir.Delta(self._plain(state, "refusal", items), refusal, index))
        if delta.tool_calls or delta.function_call:
            calls = delta.calls
            for number, call in enumerate(calls):
                state.calls.take(call, number if len(calls) > 1 else None, items)

    def _details(self, details: Any, has_text: bool, state: _Open, items: list[ir.StreamEvent]) -> None:
        """:param has_text: the same chunk says the thought's text in ``reasoning``. A signature is the thought's end,
        and may come with the whole of it."""
        for each in details if isinstance(details, list) else ():
            thought = read_detail(each)
            if thought.redacted:
                if thought.signature:
                    state.blocks.redacted(thought.signature, items)
                continue
            if thought.text and not has_text and not (thought.signature and state.blocks.kind == "thinking"):
                items.append(ir.Delta(self._plain(state, "thinking", items), thought.text, state.index))
            if thought.signature:
                items.append(ir.Sign(self._plain(state, "thinking", items), thought.signature, state.index))
                state.blocks.close(items)

    def _plain(self, state: _Open, kind: Kind, items: list[ir.StreamEvent]) -> int:
        """The open block of this kind, opened if there is none."""
        blocks = state.blocks
        if blocks.kind == kind:
            return blocks.number
        blocks.close(items)
        state.calls.close_whole(items)
        return blocks.open(kind, items)
