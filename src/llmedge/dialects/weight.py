"""How much a JSON text holds, found out before it is decoded: how deeply it is nested, how many items are in its lists.

No step of it is long, so that a thread that does it lets the others go on: C code keeps them all waiting until it is
done, and what follows, decoding included, takes time by the items.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmedge.errors import RequestTooLarge

FIELDS, VALUES = 10, 40
"""Fields of objects, and values of any kind, that there may be for each item."""
_WINDOW = 65536
_BLANKS = b" \t\r\n"
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def check_items(raw: bytes, most: int) -> None:
    """See that a body's lists hold at most ``most`` objects and lists, all together: messages, their parts, tools; that
    it has at most :data:`FIELDS` times as many fields, and :data:`VALUES` times as many values of any kind.

    :raises RequestTooLarge: there are more.
    """
    if not (_has(raw, most, b"{", b"[") or _has(raw, most * FIELDS, b":") or _has(raw, most * VALUES, b",")):
        return  # nearly always there are so few, those in strings included
    items = fields = values = 0
    before = b""
    for piece in outside_strings(raw):
        piece = before + piece.translate(_ONE_KIND, _BLANKS)
        before = piece[-1:]
        items += piece.count(b"[[") + piece.count(b",[")  # behind a comma within an object comes a string
        fields += piece.count(b":") - before.count(b":")
        values += piece.count(b",") - before.count(b",")
        if items > most or fields > most * FIELDS or values > most * VALUES:
            raise RequestTooLarge(
                f"The body has more than {most} items, {most * FIELDS} fields or {most * VALUES} values "
                "(server.max_items)."
            )


def is_deeper(raw: bytes, depth: int) -> bool:
    """Whether arrays and objects in a JSON text are nested more than ``depth`` deep. Linear passes in C only: the
    brackets outside strings, of which the innermost pairs are taken away ``depth`` times."""
    if len(raw) <= _WINDOW:  # as nearly all
        if raw.count(b"[") + raw.count(b"{") <= depth:
            return False
    elif not _has(raw, depth, b"{", b"["):
        return False
    brackets = b"".join([piece.translate(_ONE_KIND, _NOT_BRACKETS) for piece in outside_strings(raw)])
    for _ in range(depth):
        less = brackets.replace(b"[]", b"")
        if len(less) == len(brackets):
            break
        brackets = less
    return (brackets.startswith(b"[") and brackets.count(b"[") > depth) or b"[]" in brackets


def _has(raw: bytes, most: int, *marks: bytes) -> bool:
    """Whether there are more than ``most`` of these bytes. Where every byte is one, counting is slow."""
    found = 0
    for start in range(0, len(raw), _WINDOW):
        found += sum(raw.count(mark, start, start + _WINDOW) for mark in marks)
        if found > most:
            return True
    return False


def outside_strings(raw: bytes) -> Iterator[bytes]:
    """What of a JSON text is in no string, in pieces; a quotation mark stands for each string. In time that is linear
    for whatever text: a pattern of strings would begin anew at each quotation mark of one that does not end."""
    inside, cut = 0, b""
    for start in range(0, len(raw), _WINDOW):
        piece = (cut + raw[start : start + _WINDOW]).replace(b"\\\\", b"")  # pairs first: the second escapes nothing
        cut = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.removesuffix(cut).replace(b'\\"', b"").split(b'"')
        yield b'"'.join(parts[inside::2])
        inside ^= not len(parts) % 2
