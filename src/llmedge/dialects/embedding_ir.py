"""Embeddings between dialects: a small form, and what a dialect of embeddings can do."""

from __future__ import annotations

import base64
import binascii
import struct
from abc import abstractmethod
from collections.abc import Sequence

from llmedge.dialects.dialect import Dialect, ResponseContext
from llmedge.dialects.ir import Struct
from llmedge.dialects.rendering import RenderContext, ignore, view
from llmedge.errors import UpstreamMalformed
from llmedge.model import RawObject, Usage
from llmedge.operations import Operation


class EmbeddingRequest(Struct, frozen=True):
    """:ivar inputs: each a text, or the ids of its tokens.
    :ivar single: the client sent one input, not a list of one.
    :ivar base64: vectors are wanted as base64 of little-endian 32-bit floats.
    :ivar user: who asks, to find abuse.
    :ivar task: what the vectors are for, in Google's words (``RETRIEVAL_QUERY`` …). :ivar title: of a document.
    :ivar extra: fields of the client's that have no place in the IR, by path.
    """

    inputs: tuple[str | tuple[int, ...], ...]
    single: bool = False
    dimensions: int | None = None
    base64: bool = False
    user: str = ""
    task: str = ""
    title: str = ""
    extra: tuple[str, ...] = ()


class EmbeddingAnswer(Struct, frozen=True):
    """:ivar vectors: in the order of the inputs. :ivar model: in the vendor's words."""

    vectors: tuple[tuple[float, ...], ...]
    model: str = ""
    usage: Usage | None = None


class EmbeddingDialect(Dialect):
    """A dialect of embeddings, which can be translated into any other."""

    operation = Operation.EMBEDDINGS

    @abstractmethod
    def parse(self, fields: RawObject) -> EmbeddingRequest:
        """A client's request.

        :raises ValidationError: a field is mistyped.
        """

    def render(
        self, request: EmbeddingRequest, model: str, context: RenderContext, quirks: frozenset[str] = frozenset()
    ) -> bytes:
        """The body for a vendor.

        :param quirks: of the vendor; see ``config/vendor_entry.py``.
        :raises Unsupported: a field cannot be said, and ``context`` does not let it be dropped.
        """
        seen = view(request)
        ignore(seen, "single", "base64")  # both are about the answer, which is made here
        body = self._render(seen, model)
        context.foreign((), seen.extra)
        context.rest(seen)
        return body

    def as_asked(self, body: bytes, fields: RawObject) -> bytes:
        """The answer of a vendor of the same dialect, in the form that the request with these fields asks for.

        :raises UpstreamMalformed: it cannot be brought into that.
        """
        return body

    @abstractmethod
    def _render(self, seen: EmbeddingRequest, model: str) -> bytes:
        """The body for a vendor. What it does not read of ``seen`` is refused, or left out if it is a hint.

        :raises Unsupported: the vendor cannot read the inputs.
        """

    @abstractmethod
    def parse_answer(self, body: bytes) -> EmbeddingAnswer:
        """A vendor's answer.

        :raises UpstreamMalformed: it is not one.
        :raises VendorFailed: it is an error object behind a status of 200.
        """

    @abstractmethod
    def render_answer(self, answer: EmbeddingAnswer, request: EmbeddingRequest, context: ResponseContext) -> bytes:
        """The answer for the client who sent ``request``."""


def to_base64(vector: Sequence[float]) -> str:
    """A vector as OpenAI packs it: little-endian 32-bit floats in base64.

    :raises UpstreamMalformed: a number is too large for that.
    """
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise UpstreamMalformed("answered with a vector whose numbers are no 32-bit floats") from None


def from_base64(text: str) -> tuple[float, ...]:
    """The opposite.

    :raises UpstreamMalformed: it is no such thing.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        return struct.unpack(f"<{len(raw) // 4}f", raw)
    except (binascii.Error, struct.error, ValueError):
        raise UpstreamMalformed("answered with a vector that is not base64 of 32-bit floats") from None
