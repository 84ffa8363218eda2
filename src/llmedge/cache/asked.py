"""A call, as the cache sees it: whose its answer may be, and what its client says of the cache."""

from __future__ import annotations

import msgspec

from llmedge.cache.entry import Entry
from llmedge.call import CacheWish, Call
from llmedge.config.sections.cache import Cache as Policy
from llmedge.dialects.lenient import UNREADABLE

NO_WISH = CacheWish()


class Asked(msgspec.Struct):
    """:ivar prefix: whose its answer may be, who is asked, and how; ``key``: with what is asked besides.

    :ivar call: without what was meant for the cache. ``policy``: what holds for it.
    """

    prefix: bytes
    key: bytes
    call: Call
    policy: Policy
    wish: CacheWish

    @property
    def careful(self) -> bool:
        """Whether others may get its answer, who may have written it otherwise."""
        return self.policy.scope not in ("key", "user")

    def takes(self, entry: Entry, now: float) -> bool:
        """Whether ``entry`` is fresh for who asks (RFC 9111 section 5.2.1)."""
        wish, age = self.wish, now - entry.stored
        if wish.max_age is not None and age > wish.max_age:
            return False
        return age + wish.min_fresh < min(entry.ttl, self.policy.ttl) + wish.max_stale

    def takes_stale(self, entry: Entry, now: float) -> bool:
        """Whether ``entry``, which is no longer fresh, will do while a new one is asked for (RFC 5861 section 3)."""
        age = now - entry.stored
        if not self.wish.store or age < entry.ttl:
            return False
        return self._takes_older and age < entry.ttl + self.policy.stale_while_revalidate

    def takes_at_last(self, entry: Entry, now: float) -> bool:
        """Whether it will do where there will be no new one (section 4)."""
        return self._takes_older and now - entry.stored < entry.ttl + self.policy.stale_if_error

    @property
    def _takes_older(self) -> bool:
        return self.wish.read and self.wish.max_age is None and not self.wish.min_fresh


def scope_of(call: Call, scope: str) -> str:
    """Among whom its answer is shared: ``key:ID``, ``team:ID``, ``user:ID`` with whom its client names, ``shared``."""
    caller = call.caller
    if scope == "key" or (scope == "team" and not caller.account.team):
        return f"key:{caller.id}"
    if scope == "team":
        return f"team:{caller.account.team}"
    return f"user:{caller.id}\n{_users(call)}" if scope == "user" else "shared"


class _Metadata(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw(b"")


_decode_metadata = msgspec.json.Decoder(_Metadata | None).decode


def _users(call: Call) -> str:
    """Whom the client names: in our header, as ``user`` or in OpenAI's newer word, as Anthropic's ``user_id``."""
    named = [call.hints.header("x-llmedge-end-user") or ""]
    named += [bytes(call.fields.get(name, b"")).decode(errors="replace") for name in ("user", "safety_identifier")]
    try:
        metadata = _decode_metadata(call.fields.get("metadata", b"null"))
    except UNREADABLE:
        metadata = None
    return "\n".join([*named, "" if metadata is None else bytes(metadata.user_id).decode()])


def marks_of(call: Call) -> bytes:
    """What the head says of what is asked and of who may be asked, and the guards that hold."""
    marks, hints = call.marks, call.hints
    if not (marks.headers or marks.query or hints.tags or hints.no_fallback or call.guards):
        return b""  # nearly always
    return repr((marks.headers, marks.query, sorted(hints.tags), hints.no_fallback, call.guards)).encode()


class _InBody(msgspec.Struct):
    """LiteLLM's ``cache`` (docs.litellm.ai/docs/proxy/caching). Its words mean what RFC 9111 has them mean."""

    ttl: float | None = None
    max_age: float | None = msgspec.field(default=None, name="s-maxage")
    no_cache: bool | None = msgspec.field(default=None, name="no-cache")
    no_store: bool | None = msgspec.field(default=None, name="no-store")
    use: bool | None = msgspec.field(default=None, name="use-cache")
    namespace: str | None = None


_decode_in_body = msgspec.json.Decoder(_InBody | None, strict=False).decode


def told_in_body(wish: CacheWish, call: Call) -> tuple[CacheWish, Call]:
    """What the body says of the cache besides, and the call without it: no vendor knows that field."""
    try:
        said = _decode_in_body(call.fields["cache"])
    except UNREADABLE:
        said = None
    call = call.changed(fields={name: raw for name, raw in call.fields.items() if name != "cache"})
    if said is None:
        return wish, call
    wish = msgspec.structs.replace(
        wish,
        read=wish.read and not said.no_cache,
        store=wish.store and not said.no_store,
        asked=wish.asked or bool(said.use) or said.ttl is not None or said.max_age is not None,
        ttl=wish.ttl if said.ttl is None else max(0.0, said.ttl),
        max_age=wish.max_age if said.max_age is None else said.max_age,
        namespace=wish.namespace or said.namespace or "",
    )
    return wish, call
