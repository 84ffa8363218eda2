"""What a request's URL and headers say of what is asked, which no body says: the marks of beta features.

The SDKs of both vendors set them (``client.beta``): Anthropic's ``?beta=true`` and ``anthropic-beta``
(platform.claude.com/docs/en/api/beta-headers), OpenAI's ``?beta=true`` and ``openai-beta``. Nothing else of query and
headers goes on.
"""

from __future__ import annotations

import re

from llmedge.call import NO_MARKS, Marks
from llmedge.web.head import Table, values_in

_ANTHROPICS = ("anthropic-version", "anthropic-beta")
_OPENAIS = ("openai-beta",)
_UNNAMED = "anthropic-version"
"""Says nothing that another dialect would need."""
_HEADER = re.compile(rb"[\x20-\x7e]{1,2048}")
_MEMBER = re.compile(rb"(?:^|&)(beta)=([A-Za-z0-9._-]{1,64})(?=&|$)")


def marks_of(dialect: str, table: Table, target: bytes) -> Marks:
    """The marks of a request in ``dialect``.

    :param table: its headers.
    :param target: path and query.
    """
    names = _ANTHROPICS if dialect == "anthropic" else _OPENAIS
    if dialect.startswith("gemini"):
        return NO_MARKS
    found = [(name, b",".join(values_in(table, name))) for name in names]
    headers = tuple((name, value.decode()) for name, value in found if _HEADER.fullmatch(value))
    member = _MEMBER.search(target.partition(b"?")[2])
    if not headers and member is None:
        return NO_MARKS
    told = [name for name, _ in headers if name != _UNNAMED]
    if member is None:
        return Marks(headers, "", tuple(told))
    name, value = member[1].decode(), member[2].decode()
    return Marks(headers, f"{name}={value}", (*told, name))
