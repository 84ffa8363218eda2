"""Custom tools, whose input is free text (platform.openai.com/docs/guides/function-calling#custom-tools).

Nobody but OpenAI has them: in the IR each is a function with one text, and its calls are calls of that function. An
OpenAI client gives and gets the text itself.
"""

from __future__ import annotations

import json
import re

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode

SCHEMA = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
BEGIN, END = '{"input":"', '"}'
"""Around the text in the arguments of a call."""

_BEGIN = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_WHOLE = re.compile(r'(?:[^"\\]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u])*')
_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
"""The first half of a character beyond the plane of 16 bits, at the end of what has come."""


def parse_tool(fields: Fields, nested: bool) -> ir.Tool:
    """A ``custom`` tool.

    :param nested: a grammar stands in an object of that name, as chats have it.
    :raises ValidationError: a field is mistyped.
    """
    description = fields.text("description")
    form = fields.object("format")
    if form is not None and form.text("type", None) == "grammar":
        grammar = form.object("grammar") if nested else form
        if grammar is not None:
            syntax, definition = grammar.text("syntax", None), grammar.text("definition", None)
            explained = f"The input must match this {syntax} grammar:\n{definition}"
            description = f"{description}\n\n{explained}" if description else explained
            grammar.finish()
    return ir.Tool(fields.text("name", None), description, SCHEMA, kind="custom")


def arguments_of(text: str) -> str:
    """The arguments of a call with this input."""
    return BEGIN + escaped(text) + END


def escaped(text: str) -> str:
    """A piece of the input as it stands in the arguments."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def input_of(arguments: str) -> str:
    """The input in the arguments of a call; arguments of another form are the input themselves."""
    reader = InputReader()
    return reader.feed(arguments) + reader.end()


class InputReader:
    """Reads the input out of the arguments of one call, which come in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._ended = False

    def feed(self, piece: str) -> str:
        """More of the input; maybe nothing yet."""
        if self._ended:
            return ""
        self._held += piece
        if not self._inside:
            begin = _BEGIN.match(self._held)
            if begin is None:
                return ""
            self._held = self._held[begin.end() :]
            self._inside = True
        whole = _WHOLE.match(self._held)
        assert whole is not None
        length = whole.end()
        self._ended = self._held[length : length + 1] == '"'
        if not self._ended and (half := _HALF.search(self._held, 0, length)) is not None:
            length = half.start()
        said, self._held = self._held[:length], self._held[length:]
        try:
            return _decode_text(f'"{said}"') if "\\" in said else said
        except msgspec.DecodeError:  # no escape there is, or half a character
            return said

    def end(self) -> str:
        """What was held back as it was no input, once all has come."""
        return "" if self._inside else self._held
