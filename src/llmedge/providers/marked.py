"""The ways to vendors that keep the beginnings of prompts: calls whose model has ``prompt_cache`` say so there.

Models that want marks get them (:mod:`llmedge.config.prompt_caches`). Vendors that take a ``prompt_cache_key`` get one
where the client sends none: OpenAI asks for it from GPT-5.6 on, and before that it steers where a call goes
(developers.openai.com/api/docs/guides/prompt-caching).
"""

from __future__ import annotations

import hashlib

import msgspec

from llmedge.call import Call
from llmedge.config.prompt_caches import prompt_cache_of
from llmedge.dialects import ir
from llmedge.dialects.anthropic import marks
from llmedge.dialects.fitting.our_marks import set_marks
from llmedge.errors import ValidationError
from llmedge.model import Target
from llmedge.providers.translation import PassThrough, Translation


class Marked:
    """A way on which calls are marked, if their target is to be asked so; else it is the way it was.

    :param keyed: the vendor takes a ``prompt_cache_key``; else it wants marks.
    """

    def __init__(self, way: Translation, keyed: bool) -> None:
        self.vendor_dialect = way.vendor_dialect
        self.answer, self.reader, self.pieces = way.answer, way.reader, way.pieces
        self._body = way.body
        self._passes = isinstance(way, PassThrough)
        self._mark = self._with_key if keyed else self._with_marks

    def body(self, call: Call, target: Target, on_unsupported: str) -> bytes:
        """See :class:`~llmedge.providers.translation.Translation`."""
        if target.prompt_cache:
            call = self._mark(call, target)
        return self._body(call, target, on_unsupported)

    def _with_marks(self, call: Call, target: Target) -> Call:
        cache = prompt_cache_of(target.model, self.vendor_dialect.name)
        if cache is None:
            return call
        if self._passes:
            return call.changed(fields=marks.set_marks(call.fields, cache, target.prompt_cache))
        said = _said(call)
        return call if said is None else call.saying(set_marks(said, cache, target.prompt_cache))

    def _with_key(self, call: Call, target: Target) -> Call:
        if not call.beginnings:
            return call
        if self._passes:
            if "prompt_cache_key" in call.fields:
                return call
            return call.changed(fields={**call.fields, "prompt_cache_key": msgspec.Raw(b'"%b"' % key_of(call))})
        said = _said(call)
        return (
            call if said is None or said.cache_key else call.saying(ir.replace(said, cache_key=key_of(call).decode()))
        )


def marked(way: Translation | None, quirks: frozenset[str]) -> Translation | None:
    """``way``, marked where its vendor can be told anything of prompt caches."""
    dialect = "" if way is None else way.vendor_dialect.name
    keyed = dialect in ("openai_chat", "openai_responses") and "prompt_cache_key" in quirks
    if way is None or not (keyed or dialect in ("anthropic", "bedrock")):
        return way
    return Marked(way, keyed)


def key_of(call: Call) -> bytes:
    """The same for one tenant's calls that begin alike, whoever answers: OpenAI sends some fifteen a minute of one key
    to one place."""
    return hashlib.blake2b(call.beginnings[-1] + call.caller.tenant.encode(), digest_size=16).hexdigest().encode()


def _said(call: Call) -> ir.Request | None:
    try:
        return call.said()
    except ValidationError:
        return None  # who renders it says what is wrong
