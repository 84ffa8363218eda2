"""The tool calls of one choice of a stream, put together of the pieces that vendors send.

OpenAI tells calls apart by ``index`` and gives each its ``id`` and ``name`` once. Others count every call as 0
(ollama/ollama#15457), leave the index or the id out, repeat the id and the name in each piece, or write them in
pieces. A new id is a new call; a piece without one goes on with the last call of its index; one that begins anew
behind arguments that are complete is another call.
"""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.blocks import BlockWriter
from llmedge.dialects.custom_tools import BEGIN, END, escaped
from llmedge.dialects.lenient import flat, is_json, whole
from llmedge.dialects.openai_chat.chunks import ToolCall
from llmedge.errors import UpstreamMalformed


class _Call:
    """:ivar block: the IR's number; -1 while its name may still grow."""

    __slots__ = ("_last", "arguments", "block", "closed", "custom", "id", "name", "signature")

    def __init__(self, id: str) -> None:
        self.id = id
        self._last = ""
        self.name = ""
        self.signature = ""
        self.block = -1
        self.arguments: list[str] = []
        self.closed = False
        self.custom = False

    def add(self, arguments: str) -> None:
        self.arguments.append(arguments)
        self._last = arguments.rstrip()[-1:] or self._last

    @property
    def whole(self) -> bool:
        """Its arguments are: they are an object that has ended."""
        return self.closed or (self._last == "}" and is_json("".join(self.arguments)))


class Calls:
    """Writes the blocks of calls. One is closed when another block opens and its arguments are complete, else with its
    choice: vendors may interleave them. It opens with the first of its arguments, when its name is complete."""

    def __init__(self, blocks: BlockWriter, choice: int) -> None:
        self._blocks = blocks
        self._choice = choice
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}  # by index, the last one
        self._named: dict[tuple[int | None, str], _Call] = {}  # by index and id, and by id alone

    @property
    def called(self) -> bool:
        return bool(self._calls)

    def take(self, piece: ToolCall, place: int | None, items: list[ir.StreamEvent]) -> None:
        """:param place: of the piece among several, where it has no index.
        :raises UpstreamMalformed: arguments go on that were complete.
        """
        index = whole(piece.index)
        id, name = piece.identifier, piece.name
        arguments = piece.arguments if piece.custom is None else escaped(flat(piece.custom.input))
        if index is None and not id:
            index = place
        call = self._known(index, id, name, arguments)
        if call is None:
            call = self._begin(place if index is None else index, id, items)
        if piece.custom is not None and not call.custom:
            call.custom = True
            arguments = BEGIN + arguments
        if name and call.block < 0 and name != call.name:
            call.name += name
        if signature := piece.signature:
            call.signature = signature
            if call.block >= 0:
                items.append(ir.Sign(call.block, signature, self._choice))
        if arguments:
            if call.closed:
                if arguments.isspace():
                    return
                raise UpstreamMalformed("went on with a tool call whose arguments were complete")
            self._open(call, items)
            call.add(arguments)
            items.append(ir.Delta(call.block, arguments, self._choice))

    def _known(self, index: int | None, id: str, name: str, arguments: str) -> _Call | None:
        """The call that a piece belongs to; ``None`` for a new one."""
        last = self._at.get(index) if index is not None else self._calls[-1] if self._calls else None
        call = last
        if id:
            call = self._named.get((index, id))
            if call is None and last is not None and not name and not last.whole:
                call = last  # an id that comes late, or is another in each piece: a call has a name
        if call is None and not name and self._calls:  # an index that is another in each piece
            call = self._named.get((None, id)) if id else self._calls[-1] if arguments else None
        if call is not None and (name or id) and arguments.strip() and call.whole:
            return None
        if call is not None and not id and index is None and name not in ("", call.name) and call.block >= 0:
            return None
        return call

    def _begin(self, index: int | None, id: str, items: list[ir.StreamEvent]) -> _Call:
        self._blocks.close(items)
        self.begin(items)
        self.close_whole(items)
        call = _Call(id)
        self._calls.append(call)
        if index is not None:
            self._at[index] = call
        if id:
            self._named[index, id] = self._named[None, id] = call
        return call

    def begin(self, items: list[ir.StreamEvent]) -> None:
        """Open the call whose name is being written: it is complete."""
        if self._calls:
            self._open(self._calls[-1], items)

    def _open(self, call: _Call, items: list[ir.StreamEvent]) -> None:
        if call.block < 0:
            call.block = self._blocks.add("tool", items, tool_id=call.id, name=call.name, signature=call.signature)

    def close_whole(self, items: list[ir.StreamEvent]) -> None:
        """Close the calls whose arguments are complete."""
        self.begin(items)
        for call in self._calls:
            if not call.closed and call.whole:
                self._close(call, items)

    def close(self, items: list[ir.StreamEvent]) -> None:
        """Close all."""
        self.begin(items)
        for call in self._calls:
            if not call.closed:
                self._close(call, items)

    def _close(self, call: _Call, items: list[ir.StreamEvent]) -> None:
        call.closed = True
        if call.custom:
            items.append(ir.Delta(call.block, END, self._choice))
        items.append(ir.Close(call.block, self._choice))
