"""A picture that tools give, and where a request of each dialect has pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

CAT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="
)
"""A red pixel, PNG."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, however deep."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from objects(each)


def pictures(dialect: str, body: Any) -> list[bytes]:
    """Those of a request, in order, wherever in it.

    :raises ValueError: one is not base64 as the vendor wants it. Google alone takes both alphabets (proto3's JSON).
    """
    found = []
    for each in objects(body):
        match dialect, each:
            case "chat", {"type": "image_url", "image_url": {"url": str(url)}}:
                found.append(url.partition("base64,")[2])
            case "responses", {"type": "input_image", "image_url": str(url)}:
                found.append(url.partition("base64,")[2])
            case "anthropic", {"type": "image", "source": {"type": "base64", "data": str(data)}}:
                found.append(data)
            case "gemini", {"inlineData": {"data": str(data)}} | {"inline_data": {"data": str(data)}}:
                found.append(data)
    altchars = b"-_" if dialect == "gemini" and any({"-", "_"} & set(data) for data in found) else None
    return [base64.b64decode(data, altchars, validate=True) for data in found]
