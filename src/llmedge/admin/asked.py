"""One request to the admin API: who asks, how far their rights reach, what stands in it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import attrs
import msgspec

from llmedge.config.sections.auth import Key
from llmedge.errors import NotFound, RequestTooLarge, UnsupportedMediaType, ValidationError
from llmedge.identity.roles import Reach, permit
from llmedge.model import Answer, Caller, Clock, Standing, Target, Usage
from llmedge.state.allowances import Allowances
from llmedge.store.entities import Actor
from llmedge.store.store import Store
from llmedge.web.answer import send_answer, send_json
from llmedge.web.passthrough import media_type
from llmedge.web.request import EdgeRequest

LARGEST = 1_048_576
"""Bytes of a body."""
PAGE, LONGEST_PAGE = 100, 1000
_YEARS = range(1970, 2200)
"""Of moments that are asked for."""
_NO_NUL = "There must be no NUL character in this: no name has one, and databases do not take it."


@attrs.frozen
class AdminDeps:
    """What the handlers work with.

    :ivar books: the store; ``None`` without one.
    :ivar standings: of the targets.
    :ivar read_again: puts the configuration in force as it is now; ``check`` looks at a text; both say what changes.
        :raises ConfigError: it cannot be used.
    :ivar cache: gives the state of the cache; ``None``: there is none.
    :ivar price: what a usage costs today, in picos; ``None``: nobody knows.
    :ivar keys: those of the file.
    """

    clock: Clock
    books: Store | None
    allowances: Allowances
    standings: Callable[[], list[Standing]]
    read_again: Callable[[], Awaitable[list[str]]]
    check: Callable[[str], Awaitable[list[str]]]
    price: Callable[[Target, Usage], int | None]
    cache: Callable[[], Any] = lambda: None
    keys: Sequence[Key] = ()

    @property
    def store(self) -> Store:
        """:raises NotFound: there is none."""
        if self.books is None:
            raise NotFound(
                "There are no keys, budgets and books of calls here without a database: set [store] url, such as "
                '"sqlite:llmedge.db".'
            )
        return self.books


@attrs.frozen
class Asked:
    """A request, permitted. ``reach`` says where."""

    deps: AdminDeps
    request: EdgeRequest
    caller: Caller
    reach: Reach

    @property
    def actor(self) -> Actor:
        """Who is written down for what is changed."""
        record = self.request.context.record
        return Actor(self.caller.account.key_id, record.peer, record.request_id)

    def wanting(self, permission: str) -> Asked:
        """The same request, as far as ``permission`` reaches: what is done by the way needs its own.

        :raises PermissionDenied: nowhere.
        """
        return attrs.evolve(self, reach=permit(self.caller, permission))

    def body(self) -> dict[str, Any]:
        """The JSON object sent; without a body an empty one.

        :raises ValidationError: it is none.
        """
        if self.request.size > LARGEST:
            raise RequestTooLarge(f"The body is larger than {LARGEST} bytes.")
        if not (data := self.request.content.read()):
            return {}
        if media_type(self.request) != b"application/json":
            raise UnsupportedMediaType("Send the body as content-type: application/json.")
        if b"\\u0000" in data:
            raise ValidationError(_NO_NUL)
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValidationError("The body must be a JSON object.")
        return found

    def text(self) -> str:
        """The text sent.

        :raises ValidationError: it is none.
        """
        if self.request.size > LARGEST:
            raise RequestTooLarge(f"The body is larger than {LARGEST} bytes.")
        try:
            return str(self.request.content.read(), "utf-8")
        except UnicodeDecodeError:
            raise ValidationError("The body must be a text in UTF-8.") from None

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the URL."""
        values = self._parameters().get(name)
        return values[-1] if values else default

    def several(self, name: str) -> list[str]:
        """A parameter that may be there several times, also as ``name[]``, as SDKs write it."""
        found = self._parameters()
        return [*found.get(name, []), *found.get(f"{name}[]", [])]

    def _parameters(self) -> dict[str, list[str]]:
        _, _, query = self.request.uri.partition(b"?")
        if b"%00" in query:
            raise ValidationError(_NO_NUL)
        try:
            return parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise ValidationError("The URL has too many parameters.") from None

    def number(self, name: str, default: int, most: int) -> int:
        """One that is a whole number from 1.

        :raises ValidationError: it is none.
        """
        text = self.query(name)
        if not text:
            return default
        if not re.fullmatch(r"[1-9]\d{0,9}", text) or int(text) > most:
            raise ValidationError(f"The parameter '{name}' must be a whole number from 1 to {most}.", param=name)
        return int(text)

    def moment(self, name: str, default: int) -> int:
        """One that is a day or a moment, in microseconds since 1970; UTC where it does not say.

        :raises ValidationError: it is none.
        """
        text = self.query(name)
        if not text:
            return default
        try:
            at = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            at = datetime.min
        if at.year not in _YEARS:
            raise ValidationError(
                f"The parameter '{name}' must be a day or a moment such as 2026-01-31 or 2026-01-31T12:00:00Z.",
                param=name,
            )
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)

    @property
    def version(self) -> int | None:
        """``If-Match`` (RFC 9110 section 13.1.1): the version that is to be changed.

        :raises ValidationError: it is none of ours.
        """
        text = self.request.getHeader(b"if-match")
        if text is None or text.strip() == b"*":
            return None
        if (match := re.fullmatch(rb'\s*"(\d{1,9})"\s*', text)) is None:
            raise ValidationError('The header If-Match must be the ETag of an answer, such as "3".', param="if-match")
        return int(match[1])

    def answer(self, document: Any, status: int = 200, version: int | None = None) -> None:
        """``document`` as JSON."""
        headers = self.request.responseHeaders
        if version is not None:
            headers.setRawHeaders(b"etag", [b'"%d"' % version])
        headers.setRawHeaders(b"cache-control", [b"no-store"])
        send_json(self.request, status, document)

    async def answer_whole(self, body: bytes) -> None:
        """The same of a document that was written elsewhere, and may be long."""
        self.request.responseHeaders.setRawHeaders(b"cache-control", [b"no-store"])
        await send_answer(self.request, Answer(body))


Handler = Callable[..., Awaitable[None]]
"""Called with an :class:`Asked`, and what stands in the path by name."""
Handlers = Mapping[str, Handler]
"""By the names that the rows of ``operations`` have."""


def iso(at: int | None) -> str | None:
    """Microseconds since 1970 as people write it."""
    return None if at is None else datetime.fromtimestamp(at / 1_000_000, UTC).isoformat().replace("+00:00", "Z")
