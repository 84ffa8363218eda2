"""Every text of a body, in whatever dialect and operation, and a way to put another in its place. Pure.

One table for all of them: each string is a text unless its field is known to say something else (an id, a kind, a
signature). So what no table has heard of yet is looked at as well. What stands where follows from roles, from kinds of
blocks and items, and from the body's own fields.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from llmedge.dialects.surrogates import mend
from llmedge.guards.fields import (
    ARGUMENTS,
    CHOICES,
    ECHOES,
    FREE,
    KINDS,
    LONG,
    MEDIA,
    MEDIA_TYPES,
    NAMED,
    NO_TREE,
    OFFERS,
    REPEATED,
    RESULTS,
    ROLES,
    SCHEMAS,
    STRUCTURE,
)
from llmedge.guards.interfaces import CalledTool, Medium, OfferedTool, Place, Where

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
encode = msgspec.json.Encoder(decimal_format="number").encode
"""Numbers stay as they were written."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Slot(Place):
    """A place, and where its text is put back: ``holder[key]``."""

    holder: Any = None
    key: Any = None
    unit: Any = None

    def put(self, text: str) -> None:
        """Have ``text`` stand there."""
        self.text = text
        self.holder[self.key] = text
        self.unit.changed = True


class Unit:
    """A piece of a body that is looked at by itself: a message, an item, a field.

    :ivar raw: as it came. ``changed``: it does not stand so any more.
    :ivar slots: its texts. ``fixed``: what cannot be replaced in it: names of fields and long numbers, a line each.
    """

    __slots__ = (
        *("_echoes", "_inner", "_is_plain", "_read", "_root", "answered", "called", "changed", "field", "fixed"),
        *("index", "media", "named", "offered", "raw", "slots"),
    )

    def __init__(self, field: str, index: int, raw: msgspec.Raw | bytes) -> None:
        self.field, self.index, self.raw = field, index, raw
        self.changed = self._read = self._is_plain = self.answered = False
        self.named: list[dict[str, Any]] = []
        self.slots: list[Slot] = []
        self.fixed: list[str] = []
        self.media: list[Medium] = []
        self.called: list[CalledTool] = []
        self.offered: list[OfferedTool] = []
        self._root: list[Any] = [None]
        self._inner: list[tuple[Any, Any, list[Any]]] = []
        self._echoes: list[tuple[Any, Any]] = []

    def read(
        self,
        where: Where = "request",
        role: str = "",
        kind: str = "text",
        echoes: bool = True,
        known: Collection[str] = (),
    ) -> Unit:
        """Find what is in it, once.

        :param echoes: what an answer repeats of its request as well. :param known: texts that are left out.

        :raises ValueError: it is not JSON.
        """
        if not self._read:
            self._read = True
            raw = bytes(self.raw)
            try:
                self._root[0] = _decode(raw)
            except UNREADABLE:
                try:
                    self._root[0] = _decode(raw := mend(raw))
                except UNREADABLE:
                    raise ValueError("is not JSON") from None
            # what was left out is not looked at, so it does not go on
            self.changed = raw.count(b'"') + raw.count(rb"\u0022") != quotes(self._root[0])
            _Walk(self, echoes, known).within(self._root, where, role, kind)
            if self.field in OFFERS:
                self.offered = list(_offered(self._root[0]))
        return self

    def plain(self, text: str) -> None:
        """It is a text, and no JSON."""
        self._read = self._is_plain = True
        self._root[0] = text
        self.slots.append(Slot("response", text, "assistant", holder=self._root, key=0, unit=self))

    def rename(self, name: Callable[[str], str]) -> None:
        """Give fields of tools' arguments other names. Nothing can be put into its slots any more."""
        for node in self.named:
            renamed = {name(key): value for key, value in node.items()}
            if renamed.keys() != node.keys():
                self.changed = True
                node.clear()
                node.update(renamed)

    @property
    def piece(self) -> tuple[Any, ...] | None:
        """Of an event's data: what it is a piece of; ``None``: of nothing."""
        root = self._root[0]
        kind = root.get("type")
        if "choices" not in root and not (isinstance(kind, str) and kind.endswith("delta")):
            return None
        return tuple(str(root.get(name)) for name in ("index", "output_index", "content_index", "item_id"))

    def tokens(self) -> None:
        """It is the numbers of tokens, which nobody reads."""
        self._read = True
        self.media.append(Medium("tokens", "request"))

    def json(self) -> bytes:
        """As it stands now."""
        if not self.changed:
            return bytes(self.raw)
        if self._is_plain:
            return str(self._root[0]).encode()
        for holder, key, root in reversed(self._inner):
            holder[key] = encode(root[0]).decode()
        for holder, key in self._echoes:
            holder[key] = [] if isinstance(holder[key], list) else None
        return encode(self._root[0])


class _Walk:
    """Finds what is in one unit."""

    def __init__(self, unit: Unit, echoes: bool, known: Collection[str]) -> None:
        self._unit = unit
        self._known = known
        self._echoes = echoes
        self._slots = unit.slots
        self._tool = ""
        self._choice = unit.index

    def within(self, node: Any, where: Where, role: str, kind: str) -> None:
        """Each value of a list."""
        if node is self._unit._root and self._unit.field in FREE:
            self._free(node, where, role, kind)
            return
        numbers = 0
        for index, value in enumerate(node):
            if type(value) is str:
                self._text(node, index, value, where, role, kind)
            elif type(value) is dict:
                self._object(value, where, role, kind)
            elif type(value) is list:
                self.within(value, where, role, kind)
            else:
                numbers += 1
        if numbers and numbers == len(node) and kind in ("input", "text") and node is not self._unit._root:
            self._unit.media.append(Medium("tokens", where))

    def _text(self, holder: Any, key: Any, text: str, where: Where, role: str, kind: str) -> None:
        if text and text not in self._known:
            unit = self._unit
            tool = self._tool if kind == "arguments" or where == "tool_results" else ""
            self._slots.append(Slot(where, text, role, kind, self._choice, True, tool, holder, key, unit))

    def _object(self, node: dict[str, Any], where: Where, role: str, kind: str) -> None:
        if type(said := node.get("role")) is str and said in ROLES:
            role, found = ROLES[said]
            self._unit.answered |= role == "assistant"
            where = where if where == "response" else found
        if not self._echoes and node.get("object") == "response":
            node = {key: value for key, value in node.items() if key not in REPEATED}
        if type(word := node.get("type")) is str and where != "tools":
            where, kind = self._typed(node, word, where, kind)
        for key, value in node.items():
            if type(value) is str:
                self._string(node, key, value, word, where, role, kind)
            elif key in NO_TREE:
                continue
            elif key in ECHOES:
                if value is not None:
                    self._unit._echoes.append((node, key))
            elif type(value) is dict:
                self._tree(node, key, value, where, role, kind)
            elif type(value) is list and key != "type":
                if key in FREE:
                    self._free(value, where, role, kind)
                elif key in CHOICES and where == "response":
                    for self._choice, each in enumerate(value):
                        self.within([each], where, role, kind)
                else:
                    self.within(value, where, role, KINDS.get(key, kind))

    def _typed(self, node: dict[str, Any], word: str, where: Where, kind: str) -> tuple[Where, str]:
        """Where a block or an item of the kind ``word`` stands."""
        if word in ("tool_use", "server_tool_use", "mcp_tool_use") or word.endswith("_call"):
            self._unit.answered = True
            self._call(node, node, where)
            return ("response" if where == "response" else "tool_calls"), "arguments"
        if word in RESULTS or word.endswith(("_output", "_tool_result")):
            return ("response" if where == "response" else "tool_results"), "text"
        if word in ("reasoning", "compaction", "thinking"):
            self._unit.answered |= word == "reasoning"
            return ("response" if where == "response" else "history"), "thinking"
        return where, kind

    def _string(
        self, node: dict[str, Any], key: str, value: str, word: Any, where: Where, role: str, kind: str
    ) -> None:
        if key in STRUCTURE:
            if key == "pattern":  # of a schema: with anything else in it it means something else
                self._unit.fixed.append(value)
            return
        if key == "name":
            if "role" in node and role != "tool":
                self._text(node, key, value, where, role, "name")
        elif key == "arguments" or (key == "input" and kind == "arguments"):
            self._json(node, key, value, where, role)
        elif key == "data" and word != "text":
            if word != "redacted_thinking":
                media_type = next((node[each] for each in MEDIA_TYPES if type(node.get(each)) is str), "")
                url = f"data:{media_type};base64,{value}" if node.get("format") is None else ""
                self._medium(media_type.partition("/")[0] or "audio", where, url, media_type)
        elif key == "result" and word == "image_generation_call":
            self._medium("image", where, f"data:image/png;base64,{value}")
        elif key in MEDIA or (key == "url" and word == "url"):
            self._medium(MEDIA.get(key, "file"), where, value if "id" not in key else "")
        else:
            self._text(node, key, value, where, role, KINDS.get(key, kind))

    def _tree(self, node: dict[str, Any], key: str, value: dict[str, Any], where: Where, role: str, kind: str) -> None:
        if key in ("image_url", "input_audio") or (key == "source" and node.get("type") == "image"):
            data, media_type = value.get("data"), value.get("media_type") or value.get("format") or ""
            url = value.get("url") or (f"data:{media_type};base64,{data}" if type(data) is str else "")
            self._medium(MEDIA.get(key, "image"), where, url if type(url) is str else "", str(media_type))
        elif key in ("functionCall", "function_call", "function", "custom") and where != "tools":
            self._unit.answered = True
            self._call(value, node, where)
            where = "response" if where == "response" else "tool_calls"
            self._object(value, where, role, "arguments")
        elif key in ("functionResponse", "function_response"):
            self._tool = _name(value)
            where = "response" if where == "response" else "tool_results"
            self._object(value, where, role, "text")
        elif (
            key in ("args", *FREE)
            or (kind == "arguments" and key in ARGUMENTS)
            or (key == "response" and where == "tool_results")
        ):
            self._free(value, where, role, "arguments" if kind == "arguments" or key == "args" else kind)
        elif key in NAMED:
            self._unit.fixed += value
            for each in value.values():
                if type(each) is dict:
                    self._object(each, where, role, kind)
        else:
            self._object(value, where, role, KINDS.get(key, kind))

    def _medium(self, kind: str, where: Where, url: Any, media_type: str = "") -> None:
        kind = kind if kind in ("image", "audio") else "file"
        self._unit.media.append(Medium(kind, where, url, media_type))

    # What is called

    def _call(self, node: dict[str, Any], around: dict[str, Any], where: Where) -> None:
        """Note a call, if it is one."""
        name = _name(node)
        given = next((node[key] for key in ("arguments", "input", "args", "action") if key in node), None)
        if given is None and not name:
            return
        self._tool = name
        arguments = given if type(given) is str else encode(given or {}).decode()
        id = next((each[key] for each in (around, node) for key in ("call_id", "id") if type(each.get(key)) is str), "")
        where = "response" if where == "response" else "tool_calls"
        self._unit.called.append(CalledTool(name, arguments, id, where))

    def _json(self, node: dict[str, Any], key: str, text: str, where: Where, role: str) -> None:
        """Arguments as a JSON text: the strings in it; of what is no JSON, or a string itself, all of it."""
        if text in self._known:
            return
        root = [_loaded(text)]
        if type(root[0]) is dict or type(root[0]) is list:
            self._unit._inner.append((node, key, root))
            before = len(self._slots)
            self._free(root[0], where, role, "arguments")
            if text.count('"') + text.count(r"\u0022") != quotes(root[0]):
                self._unit.changed = True
            elif before == len(self._slots):
                self._unit._inner.pop()
        else:
            self._text(node, key, text, where, role, "arguments")

    def _free(self, node: Any, where: Where, role: str, kind: str) -> None:
        """JSON of anybody's shape: each string is a text, and each name and long number may be one."""
        stack = [node]
        while stack:
            node = stack.pop()
            if named := type(node) is dict:
                self._unit.named.append(node)
            for key, value in node.items() if named else enumerate(node):
                if named:
                    self._unit.fixed.append(str(key))
                if type(value) is str:
                    self._text(node, key, value, where, role, kind)
                elif type(value) is dict or type(value) is list:
                    stack.append(value)
                elif type(value) is int and not -LONG < value < LONG:
                    self._unit.fixed.append(str(value))


def quotes(value: Any) -> int:
    """Quotation marks in the JSON text of ``value``: there are more in one that has a name twice in an object, of which
    the first is in no value. (A text that spells ``\\u0022`` out may be taken for such a one.)"""
    count, stack = 0, [value]
    while stack:
        node = stack.pop()
        if type(node) is str:
            count += 2 + node.count('"')
        elif type(node) is dict:
            stack += node
            stack += node.values()
        elif type(node) is list:
            stack += node
    return count


def _offered(item: Any) -> Iterator[OfferedTool]:
    """The tools of one entry of ``tools``."""
    if type(item) is not dict:
        return
    several = item.get("functionDeclarations") or item.get("function_declarations")
    for each in several if type(several) is list else [item.get("function") or item.get("custom") or item]:
        if type(each) is dict:
            schema = next((each[name] for name in SCHEMAS if type(each.get(name)) is dict), None)
            name = _name(each) or str(item.get("type") or next(iter(item), ""))
            yield OfferedTool(name, str(each.get("description") or ""), b"" if schema is None else encode(schema))


def _name(node: dict[str, Any]) -> str:
    return str(node.get("name") or node.get("tool_name") or "")


def _loaded(text: str) -> Any:
    try:
        return _decode(mend(text.encode()))
    except (*UNREADABLE, UnicodeEncodeError):
        return None


def answered(body: bytes, echoes: bool = False, known: Collection[str] = ()) -> Unit:
    """A whole answer, or the data of a stream's event, of any dialect.

    :param echoes: what it repeats of its request as well. :param known: texts that are left out.
    :raises ValueError: it is not JSON.
    """
    return Unit("", 0, body).read("response", "assistant", "text", echoes, known)


def spoken(text: str) -> Unit:
    """A whole answer that is a text and no JSON."""
    unit = Unit("", 0, text.encode())
    unit.plain(text)
    return unit
