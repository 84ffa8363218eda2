"""Counting tokens for vendors that do not: an estimate, since each has a tokenizer of its own.

bpe-openai (extra ``tokens``) counts as OpenAI's models do; without it four bytes are taken for a token. Texts are
found by what they are, so that images and the like are not counted as text.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import msgspec

from llmedge.call import Call
from llmedge.dialects import ir
from llmedge.dialects.dialect import ClientDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError
from llmedge.model import InThread, Usage
from llmedge.operations import Operation

_TEXTS = {"prompt", "input", "content", "text", "refusal", "reasoning", "reasoning_content", "thinking", "partial_json"}
_ARGUMENTS = {"arguments", "input", "args"}
"""Of a tool's call: a text, or an object."""
_BYTES_A_TOKEN = 4
_OLD_MODELS = re.compile(r"gpt-3\.5|gpt-35|gpt-4(?!o|\.)|text-embedding")
_SAID = re.compile(rb'[\s"\\\x80-\xff]')
"""In any 256 bytes of text, but not of an image or a sound in base64."""


class TokenCounter:
    """Counts in a thread: loading takes up to 0.5 s and 65 MB, of which half is the library's file; a megabyte of text
    takes 30 to 50 ms, and the interpreter is free meanwhile."""

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread

    async def count(self, texts: Sequence[bytes | str], model: str) -> int:
        """Tokens of ``texts`` in the vocabulary nearest to that of ``model``."""
        return await self._in_thread(_count, texts, model)

    async def estimate(self, call: Call, answer: bytes | str, model: str, beyond: float = 1.0) -> Usage:
        """Usage of ``call``.

        :param answer: a JSON body, or the text of a stream.
        :param beyond: by how much the answer was longer than what is given of it.
        """
        return await self._in_thread(_estimate, call, answer, model, beyond)


def rough(call: Call, written: int) -> Usage:
    """An estimate at once, for a call nobody waits for.

    :param written: bytes of the answer's text.
    """
    prompt = DIALECTS[call.dialect].prompt
    read = sum(_text_bytes(memoryview(call.fields[name])) for name in prompt if name in call.fields)
    return Usage(-(-read // _BYTES_A_TOKEN), -(-written // _BYTES_A_TOKEN), estimated=True)


def said_in_answer(body: bytes) -> int:
    """Bytes of text in a whole answer."""
    return sum(len(text.encode(errors="replace")) for text in texts(_decode(body)))


def _text_bytes(raw: memoryview) -> int:
    """About how many bytes of ``raw`` are text, from 256 places in it: it may be megabytes, and the reactor waits."""
    size = len(raw)
    if size <= 4096:
        return size
    places = range(0, size, max(256, size // 256))
    said = sum(_SAID.search(raw, place, place + 256) is not None for place in places)
    return size * said // len(places)


def _estimate(call: Call, answer: bytes | str, model: str, beyond: float) -> Usage:
    written = answer if isinstance(answer, str) else "".join(texts(_decode(answer)))
    asked, overhead = _asked(call)
    return Usage(_count(asked, model) + overhead, round(_count([written], model) * beyond), estimated=True)


def _asked(call: Call) -> tuple[list[str], int]:
    """The texts of a request, and the tokens that it takes to tell them apart."""
    dialect = DIALECTS[call.dialect]
    if isinstance(dialect, ClientDialect):
        try:
            said = call.said()
        except EdgeError:
            pass  # its vendor has understood it
        else:
            found = [text for message in said.messages for part in message.parts for text in _said(part)]
            found += [
                text for tool in said.tools for text in (tool.name, tool.description, tool.schema.decode()) if text
            ]
            # Role and delimiters of each, and the answer's beginning: OpenAI's cookbook, "How to count tokens".
            chats = said.messages and call.operation is not Operation.TEXT
            return found, 4 * len(said.messages) + 3 if chats else 0
    return [text for name in dialect.prompt for text in texts(_decode(bytes(call.fields.get(name, b""))), said=True)], 0


def _said(part: ir.Part) -> list[str]:
    if isinstance(part, ir.Text | ir.Refusal | ir.Thinking):
        return [part.text]
    if isinstance(part, ir.ToolCall):
        return [part.name, part.arguments]
    if isinstance(part, ir.ToolResult):
        return [text for each in part.content for text in _said(each)]
    return [part.source.data] if isinstance(part, ir.File) and part.source.kind == "text" else []


def texts(document: Any, said: bool = False) -> list[str]:
    """What is said in a JSON document, in order.

    :param said: a text right here is one, too; deeper ones are if their field is named like one.
    """
    found: list[str] = []
    stack = [(document, said)]
    while stack:
        value, said = stack.pop()
        if isinstance(value, str):
            if said:
                found.append(value)
        elif isinstance(value, list):
            stack.extend((item, said) for item in reversed(value))
        elif isinstance(value, dict):
            for name, inner in reversed(value.items()):
                if name in _ARGUMENTS and isinstance(inner, dict):
                    inner = msgspec.json.encode(inner).decode()
                stack.append((inner, name in _TEXTS or name in _ARGUMENTS))
    return found


def text_in(frame: bytes) -> str:
    """What a frame of a stream adds to the answer's text, or several frames."""
    lines = (line[5:] for line in frame.split(b"\n") if line.startswith(b"data:"))
    return "".join(text for line in lines for text in _added(_decode(line)))


def _added(document: Any) -> list[str]:
    if isinstance(document, dict) and str(document.get("type")).startswith("response."):  # Responses says all twice
        delta = document.get("delta")
        return [delta] if isinstance(delta, str) else []
    return texts(document)


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _count(found: Sequence[bytes | str], model: str) -> int:
    name = "cl100k_base" if _OLD_MODELS.match(model.rpartition("/")[2]) else "o200k_base"
    tokenizer = _tokenizer(name)
    total = 0
    for text in found:
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        if tokenizer is None:
            total += -(-len(text.encode(errors="replace")) // _BYTES_A_TOKEN)
        else:
            total += tokenizer.count(text)
    return total


_loading = threading.Lock()


def _tokenizer(name: str) -> Any:
    """bpe-openai's tokenizer, or ``None`` where that is not installed. Loaded once, whoever comes first."""
    with _loading:
        return _load_tokenizer(name)


@cache
def _load_tokenizer(name: str) -> Any:
    try:
        return _bindings().tokenizer_for_encoding(name)
    except Exception:  # not installed, or not as we know it: an estimate is not worth a failure
        return None


@cache
def _bindings() -> Any:
    """The package's Rust library alone: its Python part unpacks every vocabulary once more (0.8 s, 66 MB), for nothing
    that is needed here."""
    name = "bpe_openai._bindings"
    if name in sys.modules:
        return sys.modules[name]
    package = find_spec("bpe_openai")
    if package is None or not package.submodule_search_locations:
        raise ImportError(name)
    for folder in package.submodule_search_locations:
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder) / f"_bindings{suffix}"
            if path.exists():
                spec = spec_from_file_location(name, path)
                assert spec is not None
                assert spec.loader is not None
                module = sys.modules[name] = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise ImportError(name)
