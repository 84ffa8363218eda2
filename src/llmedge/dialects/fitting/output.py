"""The form of an answer as a vendor takes it."""

from __future__ import annotations

import re

from llmedge.dialects import ir
from llmedge.dialects.fitting import schemas
from llmedge.dialects.rendering import RenderContext

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
"""What OpenAI and Bedrock refuse in the name of a schema."""

_JSON = "Answer with one JSON object and nothing else."
_KEEPING = "Answer with JSON that keeps to this JSON schema, and nothing else:\n"


def fit_output(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """Quirks it knows: ``no_json_object``, ``no_schema_description`` and those of
    :mod:`~llmedge.dialects.fitting.schemas`. A form the vendor has no words for is said to the model in words.

    :raises Unsupported: it cannot be said.
    """
    output = request.output
    if output is None:
        return request
    without_json = "no_json_object" in quirks or context.capabilities.json_object is False
    if output.schema and context.capabilities.json_schema is False:
        context.approximated("output", "this model is held to no schema")
        said = _said(request, _KEEPING + output.schema.decode())
        return said if without_json else ir.replace(said, output=ir.Output("json"))
    if not output.schema:
        if not without_json:
            return request
        context.approximated("output", "JSON without a schema")
        return _said(request, _JSON)
    try:
        schema = schemas.answer(output.schema, quirks)
    except schemas.NotAnObject as why:
        context.approximated("output", str(why))
        return _said(request, _KEEPING + output.schema.decode())
    except schemas.Unsayable as why:
        context.unsupported("output", str(why))
        return ir.replace(request, output=None)
    if output.strict:
        strict = schemas.strict_answer(schema, quirks)
        if strict is None:
            context.approximated("output.strict", "an object of it is open, or not all it has is required")
            output = ir.replace(output, strict=False)
        schema = strict or schema
    if output.description and "no_schema_description" in quirks:
        explained = schemas.explained(schema, output.description)
        if explained is None:
            context.unsupported("output.description")
        output, schema = ir.replace(output, description=""), explained or schema
    output = ir.replace(output, schema=schema, name=_NO_NAME.sub("_", output.name)[:64])
    return request if output == request.output else ir.replace(request, output=output)


def _said(request: ir.Request, words: str) -> ir.Request:
    """The form as the first thing that the system says."""
    return ir.replace(request, output=None, messages=(ir.Message("system", (ir.Text(words),)), *request.messages))
