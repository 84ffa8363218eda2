"""What the API serves as an OpenAPI 3.1 document (spec.openapis.org/oas/v3.1.1), made of the operations' rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmedge._version import __version__
from llmedge.operations import ENDPOINTS, Endpoint, Operation
from llmedge.web import openapi_admin
from llmedge.web.paths import PARAMETER

_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}} | {
    name: {"type": "apiKey", "in": "header", "name": name} for name in _HEADERS
}
_KEYS: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
_SECURITY = {"always": _KEYS, "never": []}
"""By :attr:`Endpoint.key`; where a setting says, a key is one way of several."""
_JSON, _EVENTS = "application/json", "text/event-stream"
_ERROR = {
    "description": "An error, in the dialect of the endpoint or of who asks; each has an object `error`.",
    "content": {_JSON: {"schema": {"type": "object", "required": ["error"]}}},
}


def openapi(endpoints: Iterable[Endpoint] = ENDPOINTS) -> dict[str, Any]:
    """The document, as JSON has it. Bodies are described as far as the gateway itself looks at them."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation_object(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "llmedge", "version": __version__},
        "paths": paths,
        "components": {
            "responses": {"Error": _ERROR},
            "schemas": openapi_admin.schemas(),
            "securitySchemes": _SCHEMES,
        },
    }


def _operation_object(endpoint: Endpoint) -> dict[str, Any]:
    names = PARAMETER.findall(endpoint.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    if endpoint.streams == "path":
        parameters.append({"name": "alt", "in": "query", "required": True, "schema": {"const": "sse"}})
    described: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method} {endpoint.path}").strip("_").lower(),
        "tags": [endpoint.operation.value],
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {**_answers(endpoint), "default": {"$ref": "#/components/responses/Error"}},
        "security": _SECURITY.get(endpoint.key, [{}, *_KEYS]),
    }
    if endpoint.operation is Operation.ADMIN:
        more = openapi_admin.described(endpoint)
        responses = {**more["responses"], "default": described["responses"]["default"]}
        return described | more | {"parameters": parameters + more["parameters"], "responses": responses}
    if endpoint.body != "none":
        named = endpoint.model or endpoint.unnamed or endpoint.body == "multipart" or "model" in names
        schema = {"type": "object"} if named else {"type": "object", "required": ["model"]}
        types = [_JSON] if endpoint.body == "json" else ["multipart/form-data", _JSON]
        described["requestBody"] = {"required": True, "content": {name: {"schema": schema} for name in types}}
    return described


def _answers(endpoint: Endpoint) -> dict[str, Any]:
    """How ``endpoint`` answers if nothing fails, by status."""
    if endpoint.streams == "socket":
        return {"101": {"description": "A WebSocket."}}
    if endpoint.operation.passes_through:
        types = ["*/*"]  # the vendor's
    elif endpoint.operation is Operation.METRICS:
        types = ["text/plain"]
    else:
        types = {"path": [_EVENTS], "body": [_JSON, _EVENTS]}.get(endpoint.streams, [_JSON])
    return {"200": {"description": "The answer.", "content": {name: {} for name in types}}}
