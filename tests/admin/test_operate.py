"""What operators ask of a gateway that runs."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from llmedge import graph
from llmedge.config import ConfigError
from llmedge.operations import ENDPOINTS, Operation
from tests.admin.administration import ADMIN, TOML, Administration
from tests.fakes import CHAT, Edge, Response, Wire, request, settings


class Operate(Administration):
    def test_state(self) -> None:
        """Targets, budgets, the store: as they are."""
        secret = self.key("app", budgets=[{"amount": 1}])["key"]
        self.assertEqual(self.chat(secret).status, 200)
        shown = self.done("GET", "/admin/v1/state")
        (deployment,) = shown["deployments"]
        shown_as = [deployment[name] for name in ("deployment", "breaker", "in_flight")]
        self.assertEqual(shown_as, ["mock/*", "closed", 0])
        self.assertEqual(shown["budgets"][0]["who"], "The key 'app'")
        self.assertEqual((shown["store"]["reachable"], shown["store"]["ledger"]["blocked"]), (True, False))

    def test_description(self) -> None:
        """Every row that there is; for any caller."""
        secret = self.key("app")["key"]
        document = self.done("GET", "/openapi.json", key=secret)
        described = {(method.upper(), path) for path, of in document["paths"].items() for method in of}
        self.assertEqual(described, {(each.method, each.path) for each in ENDPOINTS})

    def test_who_may(self) -> None:
        """A text that is checked may name files, whose errors would tell of them: not for whoever only looks."""
        secret = self.key("app", roles=["viewer"])["key"]
        self.done("GET", "/admin/v1/state", key=secret)
        for path in ("/admin/v1/reload", "/admin/v1/check"):
            self.assertEqual(self.refused("POST", path, key=secret)[0], 403, path)
        team = self.done("POST", "/admin/v1/teams", {"name": "red"})["id"]
        bound = self.key("bound", team="red", roles=[f"operator:team/{team}"])["key"]
        for method, path in (("GET", "state"), ("POST", "reload"), ("POST", "check")):
            self.assertEqual(self.refused(method, f"/admin/v1/{path}", key=bound)[0], 403, path)


class Configurations(Administration):
    """Read again, or only looked at."""

    def setUp(self) -> None:
        super().setUp()
        self.file = TOML
        self.edge.service._reload = lambda: settings(self.file, self.environ)
        self.edge.service._read = lambda text: settings(text, self.environ)

    def test_reload(self) -> None:
        """What changed; it is in force with the answer, and written down."""
        self.file = TOML.replace("10.0", "20.0") + "[server]\ntimeout = 7\n"
        answer = self.done("POST", "/admin/v1/reload")
        self.assertIn("server.timeout: 30.0 → 7.0", answer["changes"])
        self.assertEqual(self.edge.service.graph.settings.server.timeout, 7)
        line = self.done("GET", "/admin/v1/audit?action=config.reload")["data"][0]
        self.assertEqual(line["after"], {"changes": answer["changes"]})
        self.assertEqual(self.done("POST", "/admin/v1/reload")["changes"], [])

    def test_a_reload_that_is_refused(self) -> None:
        """With everything that is wrong; what is in force stays."""
        self.file = TOML + "[server]\ntimeuot = 7\nlisten = 4\n"
        status, message = self.refused("POST", "/admin/v1/reload")
        self.assertEqual(status, 409)
        for part in ("the one in force stays", "did you mean 'timeout'?", "server.listen"):
            self.assertIn(part, message)

    def test_a_key_that_is_deleted_after_a_refused_reload(self) -> None:
        """What could not be built has taken nothing over: a connection that knows the key is told."""
        secret = self.key("app")
        wire = self.edge.wire()
        call = request(headers={"authorization": f"Bearer {secret['key']}"}, body={**CHAT, "model": "mock/x"})
        wire.send(call)
        self.assertEqual(wire.response().status, 200)
        with patch.object(graph.web_build, "build", side_effect=ConfigError(["a plugin has no provider"])):
            self.assertEqual(self.refused("POST", "/admin/v1/reload")[0], 409)
        self.done("DELETE", f"/admin/v1/keys/{secret['id']}")
        wire.send(call)
        self.assertEqual(wire.response().status, 401)

    def test_check(self) -> None:
        """Nothing changes; what the environment holds does not show, wherever somebody put it."""
        text = (TOML + "[server]\ntimeout = 7\n").encode()
        answer = self.done("POST", "/admin/v1/check", text)
        self.assertEqual((answer["valid"], answer["problems"]), (True, []))
        self.assertIn("server.timeout: 30.0 → 7.0", answer["changes"])
        self.assertNotEqual(self.edge.service.graph.settings.server.timeout, 7)
        self.patch(os, "environ", {"SOME_SECRET": "canary-7f3a"})
        wrong = b'[server]\nlisten = ["canary-7f3a:x"]\n[log]\nlevel = "canary-7f3a"\n'
        answer = self.done("POST", "/admin/v1/check", wrong)
        self.assertEqual((answer["valid"], answer["changes"]), (False, []))
        self.assertTrue(answer["problems"])
        self.assertNotIn("canary-7f3a", str(answer))
        moved = self.done("POST", "/admin/v1/check", TOML.encode() + b'[providers.mock2]\ndialect = "mock"\n')
        self.assertEqual(moved["changes"], ["providers.mock2: added"])
        for text in (b"\xff", b"a" * 1_048_577):
            self.assertIn(self.refused("POST", "/admin/v1/check", text)[0], (400, 413))
        self.assertIn("not TOML", self.done("POST", "/admin/v1/check", b"[")["problems"][0])
        self.assertFalse(self.done("POST", "/admin/v1/check", b"a = " + b"[" * 100_000)["valid"])


class WithoutStore(SynchronousTestCase):
    """What needs no database is there without one; the rest says what it needs."""

    def ask(self, edge: Edge, method: str, path: str, key: str = ADMIN, **more: Any) -> Response:
        return edge.ask(method, path, headers={"authorization": f"Bearer {key}"}, **more)

    def test_what_there_is(self) -> None:
        edge = Edge(TOML, {"LLMEDGE_ADMIN_KEY": ADMIN})
        state = self.ask(edge, "GET", "/admin/v1/state").json()
        self.assertEqual((state["store"], state["deployments"]), (None, []))
        self.assertEqual(self.ask(edge, "GET", "/openapi.json").status, 200)
        self.assertEqual(self.ask(edge, "GET", "/v1/key").json()["name"], "admin")
        self.assertEqual(self.ask(edge, "POST", "/admin/v1/reload").status, 409)
        self.assertEqual(self.ask(edge, "POST", "/admin/v1/check").json()["valid"], False)

    def test_what_there_is_not(self) -> None:
        edge = Edge(TOML, {"LLMEDGE_ADMIN_KEY": ADMIN})
        for endpoint in Operation.ADMIN.endpoints:
            path = endpoint.path.replace("{key}", "x").replace("{id}", "x")
            if endpoint.method != "GET" or not endpoint.permission or path == "/admin/v1/state":
                continue
            answer = self.ask(edge, "GET", path + "?start_time=1700000000")
            self.assertEqual(answer.status, 404, path)
            self.assertIn("[cache]" if path == "/admin/v1/cache" else "[store]", answer.error["message"], path)
        self.assertEqual(edge.ask("GET", "/admin/v1/keys", headers={}).status, 401)

    def test_where_operators_have_an_endpoint_of_their_own(self) -> None:
        """It is there only; what everybody may ask is on both."""
        edge = Edge(TOML + '[admin]\nlisten = ["tcp:0"]\n', {"LLMEDGE_ADMIN_KEY": ADMIN})
        inside = Wire(edge.service.admin_site)
        for path, outside in (("/admin/v1/state", 404), ("/key/list", 404), ("/v1/key", 200), ("/openapi.json", 200)):
            self.assertEqual(self.ask(edge, "GET", path).status, outside, path)
            inside.send(request("GET", path, headers={"authorization": f"Bearer {ADMIN}"}))
            self.assertEqual(inside.response().status, 404 if path == "/key/list" else 200, path)
