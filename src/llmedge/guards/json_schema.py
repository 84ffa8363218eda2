"""An answer that is to be JSON of a form: the one that its request asks for (``response_format``, ``text.format``,
``output_format``, ``responseSchema``), or the operator's. Extra ``json_schema``.

Small answers are judged at once, others in a thread; what would take longer than either is allowed is a failure.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import msgspec
from zope.interface import implementer

from llmedge.call import Call
from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import ON, Guardrail
from llmedge.errors import ValidationError
from llmedge.guards.interfaces import PASS, GuardDeps, GuardFailed, GuardType, IGuardType, Judgement, Material
from llmedge.operations import Operation

SMALL = 4096
"""Characters of an answer that is judged on the reactor, if that takes :data:`QUICK` seconds at most."""
QUICK = 0.0008
LONG = 0.25
"""Seconds of the processor that a thread may take."""
KEPT = 32
"""Schemas that are kept as they are applied."""
LARGEST = 65536
"""Bytes of a schema."""
_SAY_IT = {
    *("response_format", "text", "output_format", "output_config", "generationConfig", "generation_config"),
    "outputConfig",
}
"""Fields of requests, one a dialect or two, without which no form is asked for."""
_ANY_OBJECT = b'{"type": "object"}'


def _schema(value: Any, environ: kinds.Environ) -> str:
    """JSON, as it stands, as a table, or in a file."""
    if isinstance(value, dict):
        text = json.dumps(value, default=str)
    else:
        said: str = kinds.string.from_toml(value, environ)
        try:
            text = said if said.startswith("{") else Path(said).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"names the file {said}, which cannot be read") from None
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON Schema: a table, JSON, or the path of a file of it")
    return text


SCHEMA = kinds.ValueType(
    "JSON Schema: a table, JSON, or the path of a file of it", _schema, {"type": ["string", "object"]}
)


@attrs.frozen
class JsonSchemaGuard(Guardrail):
    """What only the type ``json_schema`` has."""

    on: tuple[str, ...] = option(ON, ("response",), "The answer; nothing else is JSON of a form.")
    schema: str = option(SCHEMA, "", "What each answer has to fit, in the place of what its request asks for.")


class JsonSchema:
    """Judges each choice of an answer. One that refuses, or calls tools and says nothing, is none."""

    def __init__(self, settings: JsonSchemaGuard, deps: GuardDeps) -> None:
        from llmedge.guards import schemas  # jsonschema is an extra, and takes a while

        self._own = settings.schema.encode()
        self._in_thread = deps.in_thread
        self._schemas = schemas
        self._compiled = lru_cache(maxsize=KEPT)(schemas.Schema)

    async def check(self, material: Material) -> Judgement:
        if material.of != "response" or material.position == "part":
            return PASS
        schema = self._own or await self._asked(material.call)
        if not schema:
            return PASS
        if len(schema) > LARGEST:
            raise GuardFailed("answer", "the schema is too large")
        if not material.answer:
            refused = any(place.kind == "refusal" for place in material.places)
            return PASS if refused or material.called else Judgement("block", "schema")
        for text in material.answer:
            if not text and material.called:
                continue
            if not await self._fits(schema, text):
                return Judgement("block", "schema")
        return PASS

    async def _asked(self, call: Call) -> bytes:
        """The schema that the request asks for, ``b""`` for none."""
        if call.operation is not Operation.CHAT or _SAY_IT.isdisjoint(call.fields):
            return b""
        try:
            said = await self._in_thread(call.said) if call.heavy else call.said()
        except ValidationError:  # within one dialect only the vendor judges a body
            raise GuardFailed("answer", "the request cannot be read") from None
        if said.output is None:
            return b""
        return said.output.schema or _ANY_OBJECT

    async def _fits(self, schema: bytes, text: str) -> bool:
        schemas = self._schemas
        try:
            if len(text) <= SMALL:
                try:
                    return self._judge(schema, text, QUICK)
                except schemas.Exhausted:
                    pass  # it is not as small as it looks
            return await self._in_thread(self._judge, schema, text, LONG)
        except schemas.Exhausted:
            raise GuardFailed("timeout", "the schema takes too long to apply") from None
        except schemas.UnusableSchema:
            raise GuardFailed("answer", "the schema cannot be applied") from None

    def _judge(self, schema: bytes, text: str, seconds: float) -> bool:
        fits: bool = self._compiled(schema).fits(text, seconds)
        return fits


@implementer(IGuardType)
class _Type(GuardType):
    name = "json_schema"
    settings = JsonSchemaGuard

    def problems(self, settings: JsonSchemaGuard) -> Iterator[tuple[str, str]]:
        missing = [name for name in ("jsonschema", "regex") if importlib.util.find_spec(name) is None]
        if missing:
            yield "", f"needs {' and '.join(missing)}: pip install 'llmedge[json_schema]'"
        if len(settings.schema.encode()) > LARGEST:
            yield "schema", f"must have at most {LARGEST} bytes"
        if "response" not in settings.on:
            yield "on", 'must be ["response"]: nothing else is JSON of a form'
        if settings.stream == "sentence":
            yield "stream", "must be hold or after: a sentence is no JSON"

    def make(self, settings: JsonSchemaGuard, deps: GuardDeps) -> JsonSchema:
        return JsonSchema(settings, deps)


TYPE = _Type()
