"""Vendors' lists of their models, in the shapes the catalogue knows.

Sources: platform.openai.com/docs/api-reference/models/list, platform.claude.com/docs/en/api/models/list,
ai.google.dev/api/models, docs.cohere.com/reference/list-models; sizes as groq, openrouter, vLLM and llama.cpp add them
to OpenAI's shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from llmedge.config.catalogue import capabilities
from llmedge.errors import UpstreamMalformed
from llmedge.providers.provider import ModelInfo

MOST = 5000
"""Models of one vendor that are listed."""

QUERIES = {"anthropic": "?limit=1000", "gemini": "?pageSize=1000", "cohere": "?page_size=1000"}
"""By shape: what asks for all of a list that comes in pages. No vendor has more; it would be a second page."""

_LISTS = {"openai": "data", "anthropic": "data", "gemini": "models", "cohere": "models"}
_IDS = {"gemini": "name", "cohere": "name"}
_CONTEXT = ("inputTokenLimit", "max_input_tokens", "context_length", "context_window", "max_model_len")
_OUTPUT = ("outputTokenLimit", "max_completion_tokens", "max_tokens")
_ID = re.compile(r"[\x21-\x7e]{1,256}")

_decode = msgspec.json.Decoder().decode


def parse(shape: str, vendor: str, body: bytes) -> list[ModelInfo]:
    """The models in a list of ``shape``, sorted by id, each once, at most :data:`MOST`. What is no name is left out.

    :param vendor: its name in the catalogue, which knows sizes that the list does not tell.
    :raises UpstreamMalformed: it is no such list.
    """
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("sent a list of models that is not JSON") from None
    if shape != "array" and isinstance(document, dict):
        document = document.get(_LISTS[shape])
    if not isinstance(document, list):
        raise UpstreamMalformed("sent something else than a list of models")
    found = {model.id: model for model in _models(shape, vendor, document)}
    return [found[name] for name in sorted(found)]


def _models(shape: str, vendor: str, items: list[Any]) -> Iterator[ModelInfo]:
    for item in items[:MOST]:
        name = item.get(_IDS.get(shape, "id")) if isinstance(item, dict) else None
        if not isinstance(name, str) or not _ID.fullmatch(name):
            continue
        name = name.removeprefix("models/") if shape == "gemini" else name
        known = capabilities(vendor, name)
        yield ModelInfo(name, _size(item, _CONTEXT) or known.context, _size(item, _OUTPUT) or known.max_output)


def _size(item: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = item.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53:
            return value
    return None
