"""What is sent to a vendor: the way between the dialects, and the bytes of each request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from llmedge._version import __version__
from llmedge.call import NO_MARKS, Call, Marks
from llmedge.config.origins import host_header
from llmedge.dialects.dialect import Dialect
from llmedge.dialects.gemini_embeddings import GeminiEmbeddings
from llmedge.dialects.registry import DIALECTS, PASSED
from llmedge.errors import NotFound
from llmedge.model import Clock, Target
from llmedge.operations import COUNT_TOKENS
from llmedge.providers.spec import ProviderSpec
from llmedge.providers.translation import Translation, count_translation_for, no_way, translation_for
from llmedge.providers.troubles import without_account
from llmedge.record import Attempt
from llmedge.threads import in_thread

_VISIBLE = re.compile(r"[\x20-\x7e]{1,1024}")


class Requests:
    """Makes the requests for one spec. Of the client's headers only those its dialect passes on are sent.

    :param name: the provider's.
    :param clock: the reactor: large bodies are rendered in its threads.
    """

    def __init__(self, name: str, spec: ProviderSpec, clock: Clock) -> None:
        self._name = name
        self._spec = spec
        self._clock = clock
        vendor_dialects = [DIALECTS[dialect] for dialect in spec.paths]
        self._translations: dict[str, Translation | None] = {
            client: translation_for(
                dialect,
                vendor_dialects,
                quirks=spec.quirks,
                stream_usage=spec.stream_usage,
                name=name,
                limits=spec.limits,
            )
            for client, dialect in DIALECTS.items()
        }
        counting = [DIALECTS[dialect] for dialect in spec.count_paths]
        self._counts = {
            client: count_translation_for(dialect, counting, name, spec.quirks, spec.limits)
            for client, dialect in DIALECTS.items()
        }
        self._fields = self._head_fields()
        self._template_for = cache(spec.path)
        self._heads: dict[tuple[str, str, bool], bytes] = {}

    def mark(self) -> None:
        """From now on mark calls whose target is to be asked so."""
        from llmedge.providers.marked import marked

        self._translations = {client: marked(way, self._spec.quirks) for client, way in self._translations.items()}

    def translation(self, call: Call) -> Translation:
        """The way ``call`` goes.

        :raises Unsupported: there is none.
        """
        counts = call.operation is COUNT_TOKENS
        translation = (self._counts if counts else self._translations)[call.dialect]
        if translation is None:
            raise no_way(self._name, call.operation)
        return translation

    def request_now(self, call: Call, attempt: Attempt, translation: Translation) -> bytes | None:
        """Head and body, where they are made at once; else ask :meth:`request`, which raises the same."""
        if self._spec.signer is not None or call.heavy:
            return None
        return self._request(
            call, attempt, translation.vendor_dialect, self._body(call, attempt.target, translation), {}
        )

    async def request(self, call: Call, attempt: Attempt, translation: Translation) -> bytes:
        """Head and body.

        :raises Unsupported: the vendor's dialect cannot say a field, and it may not be dropped.
        :raises TargetError: the signer has no credentials; a predicate about the provider.
        """
        spec, target, vendor_dialect = self._spec, attempt.target, translation.vendor_dialect
        made = call, target, translation
        body = await in_thread(self._clock, self._body, *made) if call.heavy else self._body(*made)
        signed: dict[str, str] = {}
        if spec.signer is not None:
            path = _path(self._template(call, vendor_dialect), target.model)
            signed = dict(await spec.signer.headers("POST", spec.origin + path, body))
        return self._request(call, attempt, vendor_dialect, body, signed)

    def _body(self, call: Call, target: Target, translation: Translation) -> bytes:
        spec = self._spec
        body = translation.body(call, target, target.on_unsupported or spec.on_unsupported)
        return body if spec.adapt is None else spec.adapt(call.operation, body)

    def _request(
        self, call: Call, attempt: Attempt, vendor_dialect: Dialect, body: bytes, signed: dict[str, str]
    ) -> bytes:
        """``body`` with its head, whose beginning is kept where it is the same from call to call."""
        template = self._template(call, vendor_dialect)
        key = vendor_dialect.name, template, call.stream  # an operator may give two dialects one path
        marks = call.marks if vendor_dialect.name == call.dialect else NO_MARKS
        plain = marks is NO_MARKS and not signed and not self._spec.client_headers
        head = self._heads.get(key) if plain else None
        if head is None:
            accept = (vendor_dialect.stream_type if call.stream else b"application/json").decode()
            fixed = {**self._passed_on(call), **vendor_dialect.headers, **self._spec.fixed}
            more = _lines({**fixed, **dict(marks.headers), **signed})
            path = self._marked(_path(template, attempt.target.model), marks)
            head = f"POST {path} HTTP/1.1\r\n{self._fields}accept: {accept}\r\n{more}".encode()
            if plain and "{model}" not in template:
                self._heads[key] = head
        trace = call.record.trace
        return b"%bx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            head,
            call.record.request_id.encode(),
            b"" if trace is None else trace.headers(attempt.span_id),
            len(body),
            body,
        )

    async def passed(self, call: Call, attempt: Attempt) -> tuple[bytes, Any]:
        """Of a call that is passed through: head and body, or the head and what gives the body piece by piece.

        :raises Unsupported: the vendor has no such thing.
        """
        spec, record = self._spec, call.record
        template = spec.versions.get(record.route) or spec.passthrough.get(call.operation.value)
        if template is None:
            raise no_way(self._name, call.operation)
        model, upload = attempt.target.model, call.upload
        body = None if upload is None else upload.open(model)
        if body is None:
            data = PASSED.forward(call.fields, model, stream=call.stream, ask_usage=False)
            framing, kind = f"content-length: {len(data)}", "application/json"
        else:
            assert upload is not None
            data, kind = b"", upload.content_type
            framing = "transfer-encoding: chunked" if body.length is None else f"content-length: {body.length}"
        path = self._marked(_path(template, model), call.marks)
        fields = self._fields.replace("content-type: application/json\r\n", f"content-type: {kind}\r\n")
        more = _lines(self._passed_on(call) | dict(call.marks.headers)) + await self._fixed("POST", path, data)
        trace = b"" if record.trace is None else record.trace.headers(attempt.span_id)
        head = (
            f"POST {path} HTTP/1.1\r\n{fields}accept: */*\r\nx-request-id: {record.request_id}\r\n{more}{framing}\r\n"
        )
        return head.encode() + trace + b"\r\n" + data, body

    async def list_request(self, query: str) -> bytes:
        """The request for the list of models; where there is none, for what is at the base URL."""
        path = self._spec.models_path + query if self._spec.models_path else urlsplit(self._spec.base_url).path or "/"
        more = await self._fixed("GET", path, b"")
        return f"GET {path} HTTP/1.1\r\n{self._fields}{more}accept: application/json\r\n\r\n".encode()

    async def _fixed(self, method: str, path: str, body: bytes) -> str:
        """The header lines that the vendor needs, a signature's among them."""
        spec = self._spec
        signed = () if spec.signer is None else await spec.signer.headers(method, spec.origin + path, body)
        return _lines({**spec.fixed, **dict(signed)})

    def _passed_on(self, call: Call) -> dict[str, str]:
        """Headers of the client's that the operator has sent on, as far as nothing else says them."""
        spec = self._spec
        names = [name for name in spec.client_headers if name not in spec.headers and name not in spec.fixed]
        told = {name: call.hints.header(name) for name in names}
        return {name: value for name, value in told.items() if value and _VISIBLE.fullmatch(value)}

    def scrub(self, text: str) -> str:
        """``text`` without our credentials, and without names of our account."""
        words = [word for name, secret in self._spec.headers.items() for word in _telling(name, secret.reveal())]
        if self._spec.signer is not None:
            words += self._spec.signer.secrets()
        for word in words:
            if len(word) >= 4:
                text = text.replace(word, "***")
        return without_account(text)

    def scrub_all(self, value: Any) -> Any:
        """A JSON value likewise, in all its texts and names."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, list):
            return [self.scrub_all(each) for each in value]
        if isinstance(value, dict):
            return {self.scrub(name): self.scrub_all(each) for name, each in value.items()}
        return value

    def _marked(self, path: str, marks: Marks) -> str:
        """``path`` with the client's query. Clouds, which sign it, have paths of their own and no such marks there."""
        if not marks.query or self._spec.signer is not None:
            return path
        return f"{path}{'&' if '?' in path else '?'}{marks.query}"

    def _template(self, call: Call, vendor_dialect: Dialect) -> str:
        if call.operation is COUNT_TOKENS:
            return self._spec.count_paths[vendor_dialect.name]
        template = self._template_for(vendor_dialect.name, call.stream)
        if call.continues and "beta_prefill" in self._spec.quirks and vendor_dialect.name == "openai_chat":
            return "/beta/chat/completions"
        same = vendor_dialect.name == call.dialect
        if same and isinstance(vendor_dialect, GeminiEmbeddings) and not vendor_dialect.is_batch(call.fields):
            template = template.replace(":batchEmbedContents", ":embedContent")
        return template

    def _head_fields(self) -> str:
        fields = {
            "host": host_header(self._spec.base_url),
            "user-agent": f"llmedge/{__version__}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        return _lines(fields | {name: secret.reveal() for name, secret in self._spec.headers.items()})


def _telling(name: str, value: str) -> list[str]:
    """What of a header may be a credential: all of it, and behind a scheme (``Bearer KEY``), or where it is no plain
    word, each part. ``My App`` names an application."""
    parts = value.split()
    if len(parts) < 2:
        return parts
    if name == "authorization":
        return [value, *parts[1:]]
    return [value, *(part for part in parts if not part.isalpha())]


def _lines(fields: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])


def _path(template: str, model: str) -> str:
    """Colons and slashes, of versions and ARNs, are quoted, and a signature is over this form; ``@`` stands before the
    versions of Vertex."""
    if "{model}" in template:
        if model in ("", ".", ".."):
            raise NotFound(f"The model '{model}' does not exist.", param="model")
        template = template.replace("{model}", quote(model, safe="@"))
    return template
