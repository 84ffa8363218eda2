"""Who changed what, for whoever has to know."""

from __future__ import annotations

import json

from tests.admin.administration import Administration


class Audit(Administration):
    def setUp(self) -> None:
        super().setUp()
        self.done("POST", "/admin/v1/teams", {"name": "red"})
        self.made = self.key("app", team="red")
        self.done("PATCH", f"/admin/v1/keys/{self.made['id']}", {"rpm": 9})
        self.done("DELETE", f"/admin/v1/keys/{self.made['id']}")

    def test_the_latest_first(self) -> None:
        lines = self.done("GET", "/admin/v1/audit")["data"]
        self.assertEqual([line["action"] for line in lines], ["key.delete", "key.update", "key.create", "team.create"])
        change = lines[1]
        self.assertEqual((change["actor"], change["peer"], change["id"]), ("admin", "127.0.0.1", self.made["id"]))
        self.assertEqual((change["before"]["data"], change["after"]["data"]), ({}, {"rpm": 9}))
        self.assertNotIn(self.made["key"], str(lines))

    def test_nobody_passes_for_somebody_else(self) -> None:
        """Who did it is told by what nobody else has: a key may be called what it likes."""
        lead = self.key("admin", team="red", roles=["team_admin"])
        self.done("POST", "/admin/v1/keys", {"name": "x", "team": "red"}, key=lead["key"])
        line = self.done("GET", "/admin/v1/audit?limit=1")["data"][0]
        self.assertEqual((line["actor"], line["actor_name"]), (lead["id"], "admin"))
        self.assertEqual(self.done("GET", "/admin/v1/audit?actor=admin&action=key.create")["data"][0]["id"], lead["id"])

    def test_pages_and_filters(self) -> None:
        first = self.done("GET", "/admin/v1/audit?limit=3")
        rest = self.done("GET", f"/admin/v1/audit?limit=3&after={first['next']}")
        self.assertEqual([line["n"] for line in first["data"] + rest["data"]], [4, 3, 2, 1])
        self.assertEqual(len(self.done("GET", f"/admin/v1/audit?id={self.made['id']}")["data"]), 3)

    def test_a_gap_shows(self) -> None:
        self.assertEqual(self.done("GET", "/admin/v1/audit?verify=1")["broken"], [])
        self.store.database._do(lambda connection: connection.execute("DELETE FROM audit WHERE n = 2"))
        self.assertEqual(self.done("GET", "/admin/v1/audit?verify=1")["broken"], [3])

    def test_all_of_it(self) -> None:
        answer = self.ask("GET", "/admin/v1/audit?format=ndjson")
        lines = [json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual(len(lines), 4)
        self.assertEqual([line["previous"] for line in lines[:-1]], [line["digest"] for line in lines[1:]])
        self.assertEqual(self.refused("GET", "/admin/v1/audit?format=xml")[0], 400)

    def test_who_may_see_it(self) -> None:
        finance = self.key("finance", roles=["finance"])["key"]
        self.assertEqual(self.refused("GET", "/admin/v1/audit", key=finance)[0], 403)
        self.done("POST", "/admin/v1/roles", {"name": "auditor", "permissions": ["audit:read"]})
        auditor = self.key("auditor", team="red", roles=["auditor"])["key"]
        self.assertEqual(len(self.done("GET", "/admin/v1/audit", key=auditor)["data"]), 7)
