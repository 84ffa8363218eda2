"""What the OpenAPI document says of the admin API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from llmedge.admin import focus
from llmedge.identity.roles import PERMISSIONS
from llmedge.operations import Operation
from llmedge.store.calls import FILTERS
from llmedge.store.spend import GROUPS, TIMES
from llmedge.web.openapi import openapi
from llmedge.web.openapi_admin import QUERIES


class Admin(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = openapi()
        self.paths = self.document["paths"]

    def schemas(self, of: Any) -> Iterator[Any]:
        """All that stand in the document."""
        if isinstance(of, dict):
            if "schema" in of:
                yield of["schema"]
            for each in of.values():
                yield from self.schemas(each)
        elif isinstance(of, list):
            for each in of:
                yield from self.schemas(each)

    def test_schemas(self) -> None:
        """They are JSON Schemas, and what they refer to is there."""
        found = [*self.schemas(self.document["paths"]), *self.document["components"]["schemas"].values()]
        self.assertGreater(len(found), 200)
        for schema in found:
            Draft202012Validator.check_schema(schema)
            for each in schema.get("properties", {}).values():
                if "$ref" in each:
                    at: Any = self.document
                    for name in each["$ref"].removeprefix("#/").split("/"):
                        at = at[name]
                    self.assertTrue(at.keys() & {"type", "enum", "anyOf"}, at)

    def test_each_row(self) -> None:
        """Its permission, whether it has a body, and that a change may be bound to what was seen."""
        for endpoint in Operation.ADMIN.endpoints:
            described = self.paths[endpoint.path][endpoint.method.lower()]
            self.assertEqual(described.get("x-llmedge-permission", ""), endpoint.permission)
            self.assertIn(endpoint.permission, ("", *PERMISSIONS))
            self.assertEqual("requestBody" in described, endpoint.body != "none", endpoint)
            names = {each["name"] for each in described["parameters"]}
            bound = endpoint.path.startswith("/admin/v1/") and endpoint.method in ("PATCH", "DELETE")
            self.assertEqual("If-Match" in names, bound or endpoint.path.endswith("/rotate"), endpoint)

    def test_a_key(self) -> None:
        body = self.paths["/admin/v1/keys"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        self.assertEqual(body["required"], ["name"])
        self.assertLessEqual({"name", "team", "project", "user", "rpm", "budgets", "expires"}, set(body["properties"]))
        answer = self.paths["/admin/v1/keys"]["post"]["responses"]["201"]
        self.assertIn("ETag", answer["headers"])
        self.assertEqual(self.paths["/admin/v1/check"]["post"]["requestBody"]["required"], True)

    def test_names_of_parameters(self) -> None:
        """Those by which calls and spend are asked."""
        groups = {*GROUPS} - {*TIMES}
        self.assertEqual(set(QUERIES["spend"]), groups | {"from", "to", "by"})
        self.assertEqual(set(QUERIES["list_calls"]), {*FILTERS} | {"from", "to"})
        self.assertEqual(set(QUERIES["export"]), {*FILTERS} | {"from", "to", "format"})
        self.assertLessEqual({*focus.BY}, groups)
        self.assertLessEqual(set(QUERIES), {endpoint.handler for endpoint in Operation.ADMIN.endpoints})
