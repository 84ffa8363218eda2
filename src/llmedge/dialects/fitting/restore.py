"""What a vendor answered to a fitted request, as an answer to the client's own."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.config.limits import Limits
from llmedge.dialects import ir
from llmedge.dialects.fitting.settings import own_stops
from llmedge.dialects.fitting.tools import names_for

_Held = tuple[str, tuple[ir.TokenLogprob, ...]]
"""What may begin a stop sequence, and the tokens of it that are not told yet."""


class Restored:
    """Gives one answer its tools' own names, and ends it at the stop sequences that its vendor was not told.

    :ivar cut: all answers of a stream were ended so.
    """

    def __init__(self, names: Mapping[str, str], stops: tuple[str, ...], choices: int) -> None:
        self.cut = False
        self._names = names
        self._stops = stops
        self._choices = choices
        self._ended: set[int] = set()
        self._held: dict[tuple[int, int], _Held] = {}  # by choice and block of a text
        self._open: set[tuple[int, int]] = set()

    # A whole answer

    def answer(self, answer: ir.Answer) -> ir.Answer:
        return ir.replace(answer, choices=tuple(self._choice(choice) for choice in answer.choices))

    def _choice(self, choice: ir.Choice) -> ir.Choice:
        parts: list[ir.Part] = []
        length = 0
        for part in choice.parts:
            if isinstance(part, ir.ToolCall):
                part = ir.replace(part, name=self._names.get(part.name, part.name))
            elif isinstance(part, ir.Text):
                at, stop = self._find(part.text)
                if stop:
                    parts += [ir.replace(part, text=part.text[:at])] if at else []
                    tokens = None if choice.logprobs is None else _until(choice.logprobs, length + at)
                    changes = {"finish": "stop_sequence", "stop_sequence": stop, "logprobs": tokens}
                    return ir.replace(choice, parts=tuple(parts), **changes)
                length += len(part.text)
            parts.append(part)
        return ir.replace(choice, parts=tuple(parts))

    def _find(self, text: str) -> tuple[int, str]:
        """Where the stop sequence begins that is complete first, as a vendor that writes on would see it, and which it
        is; ``""`` for none."""
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        _, at, stop = min(found, default=(-1, -1, ""))
        return at, stop

    # A stream

    def events(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        out: list[ir.StreamEvent] = []
        for event in events:
            choice = getattr(event, "choice", None)
            if self.cut or (choice is not None and choice in self._ended):
                continue
            if isinstance(event, ir.Open):
                if event.kind == "tool":
                    event = ir.replace(event, name=self._names.get(event.name, event.name))
                elif event.kind == "text" and self._stops:
                    self._held[event.choice, event.block] = "", ()
                self._open.add((event.choice, event.block))
            elif isinstance(event, ir.Delta) and (event.choice, event.block) in self._held:
                self._text(event, out)
                continue
            elif isinstance(event, ir.Close):
                self._open.discard((event.choice, event.block))
                left, tokens = self._held.pop((event.choice, event.block), ("", ()))
                if left or tokens:
                    out.append(ir.Delta(event.block, left, event.choice, tokens or None))
            out.append(event)
        return out

    def _text(self, event: ir.Delta, out: list[ir.StreamEvent]) -> None:
        key = event.choice, event.block
        before, tokens = self._held[key]
        text, tokens = before + event.text, tokens + (event.logprobs or ())
        at, stop = self._find(text)
        said = text[:at] if stop else text[: len(text) - self._begun(text)]
        now = _until(tokens, len(said))
        if said:
            out.append(ir.replace(event, text=said, logprobs=now or None))
        self._held[key] = text[len(said) :], tokens[len(now) :]
        if stop:
            self._ended.add(event.choice)
            out += [ir.Close(block, choice) for choice, block in sorted(self._open) if choice == event.choice]
            out.append(ir.Finish("stop_sequence", event.choice, stop))
            if len(self._ended) >= self._choices:
                self.cut = True
                out.append(ir.End())

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop sequence."""
        longest = min(len(text), max(map(len, self._stops)) - 1)
        return next(
            (size for size in range(longest, 0, -1) if any(stop.startswith(text[-size:]) for stop in self._stops)), 0
        )


def _until(tokens: tuple[ir.TokenLogprob, ...], length: int) -> tuple[ir.TokenLogprob, ...]:
    """The tokens of the first ``length`` characters."""
    for number, token in enumerate(tokens):
        if length <= 0:
            return tokens[:number]
        length -= len(token.token)
    return tokens


def restored(request: ir.Request, limits: Limits, quirks: frozenset[str], choices: int) -> Restored | None:
    """What has to be undone in an answer to ``request``; ``None`` for nothing.

    :param choices: how many answers were asked for.
    """
    names = names_for((tool.name for tool in request.tools), limits.tool_name)
    stops = own_stops(request, limits, quirks) if request.stop else ()
    if not names and not stops:
        return None
    return Restored({made: name for name, made in names.items()}, stops, choices)
