"""One row an operation: what is made from the rows, and that rows of other kinds fit."""

import json
import re
from functools import partial
from typing import Any

from klein import Klein
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.admin.app import handlers
from llmedge.config.sections.server import Server
from llmedge.config.vendor_entry import OPERATIONS
from llmedge.operations import ENDPOINTS, Endpoint, Operation
from llmedge.web.answer import send_json
from llmedge.web.api import Api, failed, handle_errors
from llmedge.web.head import RequestHead
from llmedge.web.openapi import openapi
from llmedge.web.ops import Ops
from llmedge.web.paths import KEYS, SLASHED, Paths, endpoint_of, route_of, streams_body
from llmedge.web.routes import API, Routes, declare
from llmedge.web.site import EdgeSite
from tests.fakes import Edge, Wire, request

file = partial(Endpoint, dialect="passthrough", operation=Operation.RERANK)
FILES = (
    file("/v1/files", "upload a file", body="multipart", handler="upload"),
    file("/v1/files", "files", method="GET", body="none", handler="files"),
    file("/v1/files/{file_id}", "a file", method="GET", body="none", handler="get_file"),
    file("/v1/files/{file_id}", "delete it", method="DELETE", body="none", handler="delete_file"),
    file("/v1/files/{file_id}/content", "what is in it", method="GET", body="none", handler="content"),
    file("/v1/batches/{batch_id}/cancel", "cancel a batch", handler="cancel"),
    file("/v1/stores/{store_id}/files/{file_id}", "a file of a store", method="GET", body="none", handler="two"),
)


class Files:
    """Answers with what it was asked for."""

    app = Klein()

    def files(self, request: Any) -> None:
        send_json(request, 200, ["files"])

    def get_file(self, request: Any, file_id: str) -> None:
        send_json(request, 200, ["get", file_id])

    def delete_file(self, request: Any, file_id: str) -> None:
        send_json(request, 200, ["delete", file_id])

    def content(self, request: Any, file_id: str) -> None:
        send_json(request, 200, ["content", file_id])

    def cancel(self, request: Any, batch_id: str) -> None:
        send_json(request, 200, ["cancel", batch_id])

    def two(self, request: Any, store_id: str, file_id: str) -> None:
        send_json(request, 200, ["two", store_id, file_id])


declare(Files.app, Files, FILES)
handle_errors(Files.app)


def head_of(method: bytes, path: bytes) -> RequestHead:
    """What is known of a request from its first line."""
    head = RequestHead(method, path, b"HTTP/1.1", {})
    head.resolve_route(method, path)
    return head


class Table(SynchronousTestCase):
    def test_every_row_has_one_handler(self) -> None:
        """Each row is answered by a method of the API's or the operators', and no two rows are the same."""
        administration = handlers()
        for endpoint in ENDPOINTS:
            if endpoint.operation is Operation.ADMIN:
                self.assertIn(endpoint.handler, administration)
                continue
            owners = [owner for owner in (Api, Ops) if endpoint.handler in vars(owner)]
            self.assertEqual(len(owners), 1, endpoint)
            self.assertIs(owners[0] is Api, endpoint.path.encode().startswith(API), endpoint)
        self.assertEqual(len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}), len(ENDPOINTS))

    def test_every_row_is_found(self) -> None:
        """By its path, whatever stands for its parameters; labels are templates and operations, never what a client
        sent."""
        for endpoint in ENDPOINTS:
            path = re.sub(r"\{(\w+)\}", lambda name: "a/b:c" if name[1] in SLASHED else "a:c", endpoint.path).encode()
            method = endpoint.method.encode()
            self.assertEqual(route_of(path), endpoint.path)
            self.assertEqual(head_of(method, path).operation, endpoint.operation.value if endpoint.dialect else "")
            found = endpoint_of(path, method)
            if endpoint.dialect:
                assert found is not None
                self.assertIs(found.operation, endpoint.operation)
                named = "a:c/a/b:c" if "{provider}" in endpoint.path else "a/b:c"
                self.assertEqual(found.model, named if "{model}" in endpoint.path else endpoint.model)
            else:
                self.assertIsNone(found)
            if method == b"POST":
                self.assertEqual(streams_body(path), endpoint.body == "multipart")

    def test_what_is_not_served(self) -> None:
        for path in (
            b"/v1/nothing",
            b"/v1",
            b"",
            b"*",
            b"/v1/models/",
            b"/v1beta/models/a/b/",
            b"/v1/MODELS",
            b"/v1/rerank/",
        ):
            expected = "/v1beta/models/{id}" if path.startswith(b"/v1beta/models/") else "other"
            self.assertEqual(route_of(path), expected, path)
            self.assertIsNone(endpoint_of(path))
        self.assertEqual(head_of(b"GET", b"/v1/rerank").operation, "")
        self.assertEqual(route_of(b"/v1beta/models/m:predict"), "/v1beta/models/{id}")
        self.assertIsNone(endpoint_of(b"/v1beta/models/m:predict"))

    def test_probes(self) -> None:
        for path in (b"/health", b"/health/live", b"/health/ready"):
            self.assertEqual(KEYS[path], "auth.health_check")
        self.assertEqual(KEYS[b"/metrics"], "auth.metrics")
        self.assertEqual(KEYS[b"/"], "never")

    def test_what_operations_are(self) -> None:
        """Of those passed through the catalogue has the names."""
        passed = {operation.value for operation in Operation if operation.passes_through}
        self.assertEqual(passed, set(OPERATIONS))
        self.assertNotIn("chat", passed)

    def test_the_index(self) -> None:
        """It lists every row but those at a second path; health, metrics and the admin API where they are."""
        listed = [f"{each.method} {each.path}" for each in ENDPOINTS if each.summary]
        self.assertEqual(Edge().ask("GET", "/").json()["endpoints"], listed)
        inside = Edge('[admin]\nlisten = ["tcp:9090"]\n').ask("GET", "/").json()["endpoints"]
        hidden = {f"GET /{name}" for name in ("health", "health/live", "health/ready", "metrics")}
        hidden |= {f"{each.method} {each.path}" for each in ENDPOINTS if each.permission and each.summary}
        self.assertEqual(set(listed) - set(inside), hidden)

    def test_an_unknown_verb(self) -> None:
        """It is nothing, rather than a method that is not allowed: ``m:predict`` might be a model."""
        for path in ("/v1beta/models/m:predict", "/v1/models/m"):
            self.assertEqual(Edge().ask("POST", path, {}).status, 404)


class Others(SynchronousTestCase):
    """Rows with ids and other methods, as files and batches have them."""

    def setUp(self) -> None:
        self.paths = Paths(FILES)

    def test_labels(self) -> None:
        for method, path, route in (
            (b"POST", b"/v1/files", "/v1/files"),
            (b"GET", b"/v1/files", "/v1/files"),
            (b"GET", b"/v1/files/file-1", "/v1/files/{file_id}"),
            (b"DELETE", b"/v1/files/file-1", "/v1/files/{file_id}"),
            (b"GET", b"/v1/files/file-1/content", "/v1/files/{file_id}/content"),
            (b"POST", b"/v1/batches/batch:1/cancel", "/v1/batches/{batch_id}/cancel"),
            (b"GET", b"/v1/stores/s/files/f", "/v1/stores/{store_id}/files/{file_id}"),
        ):
            self.assertEqual(self.paths.route_of(path), route)
            endpoint = self.paths.endpoint_of(path, method)
            assert endpoint is not None
            self.assertEqual(endpoint.operation, "rerank")
            self.assertEqual((endpoint.path, endpoint.method.encode()), (route, method))
        self.assertTrue(self.paths.streams_body(b"/v1/files"))

    def test_what_is_none_of_them(self) -> None:
        """An id has no slash; a method that no row has is no operation, though the path has its label."""
        for path in (
            b"/v1/files/",
            b"/v1/files/a/b",
            b"/v1/files//content",
            b"/v1/batches/cancel",
            b"/v1/files/a/content/",
        ):
            self.assertEqual(self.paths.route_of(path), "other", path)
        self.assertIsNone(self.paths.endpoint_of(b"/v1/files/a", b"PUT"))
        self.assertEqual(self.paths.route_of(b"/v1/files/a"), "/v1/files/{file_id}")
        self.assertIsNone(self.paths.endpoint_of(b"/v1/files/a"))

    def test_routes(self) -> None:
        routes: Any = Routes
        site = EdgeSite(routes(Files().app, failed), Clock(), Server())
        for method, path, status, said in (
            ("GET", "/v1/files", 200, ["files"]),
            ("GET", "/v1/files/f%201", 200, ["get", "f 1"]),
            ("DELETE", "/v1/files/f", 200, ["delete", "f"]),
            ("GET", "/v1/files/f/content", 200, ["content", "f"]),
            ("POST", "/v1/batches/b:1/cancel", 200, ["cancel", "b:1"]),
            ("GET", "/v1/stores/s/files/f", 200, ["two", "s", "f"]),
            ("PUT", "/v1/files/f", 405, None),
            ("GET", "/v1/files/f/g", 404, None),
        ):
            wire = Wire(site)
            wire.send(request(method, path))
            answer = wire.response()
            self.assertEqual(answer.status, status, path)
            if said is not None:
                self.assertEqual(answer.json(), said)

    def test_openapi(self) -> None:
        document = openapi(FILES)
        self.assertEqual(set(document["paths"]["/v1/files/{file_id}"]), {"get", "delete"})
        self.assertEqual(set(document["paths"]["/v1/files"]), {"get", "post"})
        two = document["paths"]["/v1/stores/{store_id}/files/{file_id}"]["get"]
        self.assertEqual([each["name"] for each in two["parameters"]], ["store_id", "file_id"])
        self.assertNotIn("requestBody", two)


class OpenApi(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = openapi()

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        paths = self.document["paths"]
        return [(path, method, each) for path, item in paths.items() for method, each in item.items()]

    def resolve(self, reference: str) -> Any:
        found: Any = self.document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return found

    def test_every_row(self) -> None:
        """Each row is in it, and nothing else is."""
        found = {(method.upper(), path) for path, method, _ in self.operations()}
        self.assertEqual(found, {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS})

    def test_structure(self) -> None:
        """What OpenAPI 3.1 demands: fields of each object, unique ids, each parameter of a path declared, references
        and security schemes that are there."""
        self.assertRegex(self.document["openapi"], r"^3\.1\.\d+$")
        self.assertEqual(set(self.document["info"]), {"title", "version"})
        self.assertEqual(json.loads(json.dumps(self.document)), self.document)
        ids = [each["operationId"] for _, _, each in self.operations()]
        self.assertEqual(len(set(ids)), len(ids))
        schemes = self.document["components"]["securitySchemes"]
        for path, method, each in self.operations():
            self.assertTrue(path.startswith("/"))
            self.assertIn(method, ("get", "put", "post", "delete", "options", "head", "patch", "trace"))
            named = [parameter["name"] for parameter in each["parameters"] if parameter["in"] == "path"]
            self.assertEqual(named, re.findall(r"\{(\w+)\}", path))
            self.assertEqual(named, [each["name"] for each in each["parameters"] if each.get("required")][: len(named)])
            places = [(parameter["in"], parameter["name"]) for parameter in each["parameters"]]
            self.assertEqual(len(set(places)), len(places), path)
            for status, response in each["responses"].items():
                self.assertRegex(status, r"^([1-5]\d\d|default)$")
                self.assertIn("description", self.resolve(response["$ref"]) if "$ref" in response else response)
            for media in each.get("requestBody", {"content": {}})["content"].values():
                self.assertIn(media["schema"]["type"], ("object", "string"))
            for way in each["security"]:
                self.assertTrue(set(way) <= set(schemes))

    def test_what_is_said_of_one(self) -> None:
        """Where the model stands, how the answer comes, and who needs a key."""
        paths = self.document["paths"]
        chat = paths["/v1/chat/completions"]["post"]
        self.assertEqual(chat["requestBody"]["content"]["application/json"]["schema"]["required"], ["model"])
        self.assertEqual(set(chat["responses"]["200"]["content"]), {"application/json", "text/event-stream"})
        self.assertIn("101", paths["/v1/chat/completions"]["get"]["responses"])
        stream = paths["/v1/models/{model}:streamGenerateContent"]["post"]
        self.assertEqual(set(stream["responses"]["200"]["content"]), {"text/event-stream"})
        self.assertEqual([each["name"] for each in stream["parameters"]], ["model", "alt"])
        self.assertNotIn("required", stream["requestBody"]["content"]["application/json"]["schema"])
        moderations = paths["/v1/moderations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        self.assertNotIn("required", moderations)
        self.assertIn("multipart/form-data", paths["/v1/images/edits"]["post"]["requestBody"]["content"])
        self.assertEqual(paths["/"]["get"]["security"], [])
        self.assertEqual(paths["/health"]["get"]["security"], [{}, *chat["security"]])
        self.assertEqual(set(paths["/metrics"]["get"]["responses"]["200"]["content"]), {"text/plain"})
