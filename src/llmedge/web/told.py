"""What of a request is in its access line because the operator wants it there: its end user, its tags, some headers."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.config.sections.log import Log
from llmedge.dialects.lenient import UNREADABLE
from llmedge.model import RawObject
from llmedge.record import HEADERS, METADATA, TAGS, USER, Record
from llmedge.web.head import Table, header_in

LONGEST = 256
"""Characters of one value; ``MOST`` values of one kind."""
MOST = 32
_USERS = ("user", "safety_identifier")
"""In OpenAI's dialects; in Anthropic's it is ``metadata.user_id``."""


class Told:
    """:param log: says what is wanted."""

    def __init__(self, log: Log) -> None:
        self._fields = frozenset(log.fields)
        self._headers = log.headers

    def __bool__(self) -> bool:
        return bool(self._fields or self._headers)

    def note(self, record: Record, fields: RawObject, table: Table, tags: frozenset[str]) -> None:
        """Write it down, as far as the request has it.

        :param fields: of its body. :param table: its headers. :param tags: those of ``x-llmedge-tags``.
        """
        metadata = _decoded(fields, "metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        if "user" in self._fields:
            named = [_decoded(fields, name) for name in _USERS] + [metadata.get("user_id")]
            if user := next((each for each in named if isinstance(each, str) and each), ""):
                record.facts[USER] = user[:LONGEST]
        if "tags" in self._fields and tags:
            record.facts[TAGS] = [tag[:LONGEST] for tag in sorted(tags)[:MOST]]
        if "metadata" in self._fields:
            said = {name: each for name, each in metadata.items() if isinstance(each, str | int | float)}
            if said:
                record.facts[METADATA] = dict([(name[:LONGEST], _cut(each)) for name, each in said.items()][:MOST])
        found = {name: value[:LONGEST] for name in self._headers if (value := header_in(table, name))}
        if found:
            record.facts[HEADERS] = found


def _cut(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value


def _decoded(fields: RawObject, name: str) -> Any:
    try:
        return msgspec.json.decode(fields.get(name, b"null"))
    except UNREADABLE:
        return None
