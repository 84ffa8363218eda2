"""What of a request is written down because somebody wants it: its end user, for the ledger and its access line; there
its tags and some headers, too."""

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
END_USER = b"X-Llmedge-End-User"
"""The header that names an end user before any of these, as twisted.web keeps its name."""


class Told:
    """:param log: says what is wanted there. :param books: whether there is a ledger, which wants the end user."""

    def __init__(self, log: Log, books: bool = False) -> None:
        self._fields = frozenset(log.fields)
        self._headers = log.headers
        self._books = books
        self._only_books = books and not self._fields and not self._headers

    def __bool__(self) -> bool:
        return bool(self._fields or self._headers or self._books)

    def note(self, record: Record, fields: RawObject, table: Table, tags: frozenset[str]) -> None:
        """Write it down, as far as the request has it.

        :param fields: of its body. :param table: its headers. :param tags: those of ``x-llmedge-tags``.
        """
        if self._only_books and END_USER not in table:
            named = "user" in fields or "safety_identifier" in fields or "metadata" in fields
            if not named:  # nearly always
                return
        metadata = _decoded(fields, "metadata") if "metadata" in fields else None
        metadata = metadata if isinstance(metadata, dict) else {}
        if self._books or "user" in self._fields:
            user = record.end_user = _end_user(fields, table, metadata)[:LONGEST]
            if user and "user" in self._fields:
                record.facts[USER] = user
        if "tags" in self._fields and tags:
            record.facts[TAGS] = [tag[:LONGEST] for tag in sorted(tags)[:MOST]]
        if "metadata" in self._fields:
            said = {name: each for name, each in metadata.items() if isinstance(each, str | int | float)}
            if said:
                record.facts[METADATA] = dict([(name[:LONGEST], _cut(each)) for name, each in said.items()][:MOST])
        found = {name: value[:LONGEST] for name in self._headers if (value := header_in(table, name))}
        if found:
            record.facts[HEADERS] = found


def _end_user(fields: RawObject, table: Table, metadata: dict[str, Any]) -> str:
    if (values := table.get(END_USER)) and values[-1]:
        return values[-1].decode("latin-1")
    named = [_decoded(fields, name) for name in _USERS if name in fields] + [metadata.get("user_id")]
    return next((each for each in named if isinstance(each, str) and each), "")


def _cut(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value


def _decoded(fields: RawObject, name: str) -> Any:
    try:
        return msgspec.json.decode(fields.get(name, b"null"))
    except UNREADABLE:
        return None
