"""What all of Google's methods share: names in camelCase or snake_case, errors, frames (ai.google.dev/api).

Google reads proto3's JSON mapping (protobuf.dev/programming-guides/json): a field may be spelled ``inlineData`` or
``inline_data``, and its own examples give a lone object where a list of one is meant.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import msgspec

from llmedge.dialects import lenient
from llmedge.dialects.dialect import VendorError
from llmedge.dialects.fields import Fields
from llmedge.dialects.lenient import text
from llmedge.dialects.signatures import own_signature
from llmedge.errors import EdgeError, VendorFailed

_encode = msgspec.json.Encoder().encode
_SNAKE = re.compile(r"_([a-z0-9])")

HEARTBEAT = b"\r\n\r\n"
"""Blank lines, which say nothing in an event stream. A comment would end the stream of google-genai (3.4): it takes
each line without ``data:`` for a piece of an error object."""


def camel(name: str) -> str:
    """``inline_data`` → ``inlineData``."""
    return _SNAKE.sub(lambda match: match[1].upper(), name) if "_" in name else name


class GoogleFields(Fields):
    """One JSON object of Google's, read by its camelCase names however it was spelled."""

    __slots__ = ()

    def __init__(
        self,
        fields: Mapping[str, Any],
        path: str = "",
        unread: list[str] | None = None,
        wrong: Callable[[str, str], EdgeError] | None = None,
    ) -> None:
        super().__init__({camel(name): value for name, value in fields.items()}, path, unread, wrong)

    def objects(self, name: str) -> list[Self]:
        """A list of objects, or one alone; empty if absent."""
        if bytes(self._fields.get(name) or b"")[:1] == b"{":
            alone = self.object(name)
            return [] if alone is None else [alone]
        return super().objects(name)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields, the names in camelCase."""
        return self._fields

    def flag(self, name: str) -> bool:
        """A boolean that says nothing when false."""
        return bool(self.boolean(name))


# Signatures: Google's are base64 (proto3's ``bytes``), another vendor's may be any text. google-genai decodes them and
# sends them back in base64's other alphabet.

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_WRAPPED = "bGxtZWRnZTo6"  # base64 of "llmedge::"
STANDARD = str.maketrans("-_", "+/")
"""Google's clients write base64 in either alphabet; others take this one."""


def is_base64(signature: str) -> bool:
    """Whether a signature may be Google's."""
    return _BASE64.fullmatch(signature) is not None


def wrap_signature(signature: str) -> str:
    """A signature for a client of Google's, who sends it back: one that is not base64 is put into it, and one that
    looks as if it had been."""
    if is_base64(signature) and not signature.startswith(_WRAPPED):
        return signature
    return base64.b64encode(b"llmedge::" + signature.encode()).decode()


def unwrap_signature(signature: str) -> str:
    """The opposite, whichever alphabet it comes back in."""
    signature = own_signature(signature).translate(STANDARD)
    if signature.startswith(_WRAPPED):
        try:
            return base64.b64decode(signature)[9:].decode()
        except (binascii.Error, UnicodeDecodeError):
            pass
    return signature


# Errors (cloud.google.com/apis/design/errors)

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(error: EdgeError) -> bytes:
    """Our error as Google says it, our code as the ``reason``."""
    metadata: dict[str, str] = {}
    if error.param:
        metadata["param"] = error.param
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.code,
        "domain": "llmedge",
        "metadata": metadata,
    }
    status = _STATUSES.get(error.status) or ("INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    out = {"code": error.status, "message": error.message, "status": status, "details": [info]}
    return _encode({"error": out})


def error_frame(error: EdgeError) -> bytes:
    """The same as an event: the SDKs raise on an event that begins with ``{"error":``."""
    return b"data: " + error_body(error) + b"\r\n\r\n"


def parse_error(body: bytes) -> VendorError:
    """Google's error object, also in a list of one, as a stream that is not SSE has it. Never raises."""
    document = lenient.decode(body)
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return VendorError(message=error)
    if not isinstance(error, dict):
        return VendorError()
    reason, param = "", None
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        reason = reason or text(detail, "reason")
        metadata = detail.get("metadata")
        param = param or text(metadata, "param") or None
        violations = detail.get("fieldViolations")
        if isinstance(violations, list) and violations:
            param = param or text(violations[0], "field") or None
    return VendorError(text(error, "message"), "", reason or text(error, "status"), param)


def failed(body: bytes, when: str) -> VendorFailed:
    """The error for an error object where an answer, or more of it, should be."""
    return VendorFailed(f"{when}: {parse_error(body).message or 'it gave no reason'}")
