"""Keys and what they belong to, as people and scripts make and change them."""

from __future__ import annotations

import json

from tests.admin.administration import Administration


class Keys(Administration):
    def test_a_life(self) -> None:
        """Made, shown once, used, rotated, disabled, deleted: each is in force with its answer."""
        made = self.key(models=["mock/*"], rpm=100, tags=["batch"])
        self.assertEqual((made["object"], made["models"], made["version"]), ("key", ["mock/*"], 1))
        self.assertEqual(self.chat(made["key"]).status, 200)
        path = f"/admin/v1/keys/{made['id']}"
        shown = self.done("GET", path)
        self.assertEqual((shown["secrets"][0]["last4"], "key" in shown), (made["key"][-4:], False))
        self.assertEqual(shown["secrets"][0]["pepper"], self.store.directory.peppers[0].id)
        rotated = self.done("POST", f"{path}/rotate", {"grace_period": 60})
        self.assertEqual([self.chat(each["key"]).status for each in (made, rotated)], [200, 200])
        self.assertEqual(self.edge.records[-1].account.key_id, made["id"])
        self.edge.reactor.advance(self.store.database._do(lambda c: c.now()) / 1e6 + 61 - self.edge.reactor.seconds())
        self.assertEqual([self.chat(each["key"]).status for each in (made, rotated)], [401, 200])
        self.done("PATCH", path, {"state": "disabled"})
        self.assertEqual(self.chat(rotated["key"]).status, 403)
        self.done("PATCH", path, {"state": "active"})
        self.done("DELETE", path)
        self.assertEqual(self.chat(rotated["key"]).status, 401)
        self.assertEqual(self.refused("GET", path)[0], 404)

    def test_its_settings_are_checked_in_the_words_of_the_file(self) -> None:
        status, message = self.refused("POST", "/admin/v1/keys", {"name": "a", "rmp": 7, "budgets": [{"amount": -1}]})
        self.assertEqual(status, 400)
        self.assertIn("rmp is not a setting; did you mean 'rpm'?", message)
        self.assertIn("budgets[0].amount must be USD", message)
        for body in ({}, {"name": "two words"}, {"name": "a", "state": "deleted"}, {"name": "a", "team": "nobody"}):
            self.assertEqual(self.refused("POST", "/admin/v1/keys", body)[0], 400, body)
        for budgets in (True, 5, "x", {"amount": 1}, [None]):
            self.assertEqual(self.refused("POST", "/admin/v1/keys", {"name": "a", "budgets": budgets})[0], 400, budgets)

    def test_no_file_is_read_for_whoever_asks(self) -> None:
        """What looks like a reference to a secret is no setting of a key's."""
        for name in ("key", "certificate"):
            self.assertEqual(self.refused("POST", "/admin/v1/keys", {"name": "a", name: "file:/etc/passwd"})[0], 400)

    def test_null_takes_a_setting_away(self) -> None:
        made = self.key(rpm=7, tpm=9)
        changed = self.done("PATCH", f"/admin/v1/keys/{made['id']}", {"rpm": None})
        self.assertEqual(("rpm" in changed, changed["tpm"]), (False, 9))

    def test_nobody_overwrites_what_they_have_not_seen(self) -> None:
        made = self.key()
        path = f"/admin/v1/keys/{made['id']}"
        seen = self.ask("GET", path).headers["etag"]
        self.done("PATCH", path, {"rpm": 7}, if_match=seen)
        self.assertEqual(self.refused("PATCH", path, {"rpm": 8}, if_match=seen)[0], 409)
        self.assertEqual(self.refused("PATCH", path, {"rpm": 8}, if_match="x")[0], 400)

    def test_pages(self) -> None:
        names = {self.key(f"k{number}")["name"] for number in range(7)}
        found, after = set(), ""
        for _ in range(3):
            page = self.done("GET", f"/admin/v1/keys?limit=3&after={after}")
            found |= {each["name"] for each in page["data"]}
            after = page["next"]
        self.assertEqual((found, after), (names, None))
        self.assertEqual(self.refused("GET", "/admin/v1/keys?limit=0")[0], 400)

    def test_a_name_is_there_once(self) -> None:
        self.key("a")
        self.assertEqual(self.refused("POST", "/admin/v1/keys", {"name": "a"})[0], 409)


class Belonging(Administration):
    def test_a_path(self) -> None:
        """By name or id; limits of all it belongs to hold."""
        self.done("POST", "/admin/v1/organizations", {"name": "acme"})
        team = self.done("POST", "/admin/v1/teams", {"name": "red", "organization": "acme", "models": ["mock/*"]})
        project = self.done("POST", "/admin/v1/projects", {"name": "search", "team": team["id"], "max_concurrency": 1})
        made = self.key(project="search")
        self.assertEqual((made["team"], made["project"]), (team["id"], project["id"]))
        own = self.done("GET", "/v1/key", key=made["key"])
        self.assertEqual([each["scope"] for each in own["limits"]], ["project"])
        self.assertEqual((own["models"], own["models_above"], own["expires"]), (["*"], [["mock/*"]], None))
        until = {"expires": "2099-01-01T00:00:00Z"}
        self.done("PATCH", f"/admin/v1/keys/{made['id']}", until)
        self.assertEqual(self.done("GET", "/v1/key", key=made["key"])["expires"], until["expires"])
        self.assertEqual(self.chat(made["key"], "other/x").status, 403)
        self.done("PATCH", f"/admin/v1/teams/{team['id']}", {"state": "disabled"})
        self.assertEqual(self.chat(made["key"]).status, 403)

    def test_a_budget_of_the_team_is_all_its_keys(self) -> None:
        team = self.done("POST", "/admin/v1/teams", {"name": "red", "budgets": [{"amount": 0.0003, "period": "total"}]})
        keys = [self.key(f"k{number}", team="red")["key"] for number in range(3)]
        statuses = [self.chat(keys[number % 3], max_tokens=10).status for number in range(12)]
        self.assertEqual((statuses[0], statuses[-1]), (200, 429))
        message = json.loads(self.chat(keys[0], max_tokens=10).body)["error"]["message"]
        self.assertIn("The budget of the team 'red' is spent", message)
        self.assertEqual(team["budgets"], [{"amount": 0.0003, "period": "total"}])


class Reaching(Administration):
    def setUp(self) -> None:
        super().setUp()
        for name in ("red", "blue"):
            self.done("POST", "/admin/v1/teams", {"name": name})
        self.lead = self.key("lead", team="red", roles=["team_admin", "caller"])["key"]
        self.other = self.key("other", team="blue")

    def test_own_team_only(self) -> None:
        """What is beyond it does not show."""
        made = self.done("POST", "/admin/v1/keys", {"name": "mine", "team": "red"}, key=self.lead)
        self.assertEqual(self.done("PATCH", f"/admin/v1/keys/{made['id']}", {"rpm": 5}, key=self.lead)["rpm"], 5)
        names = {each["name"] for each in self.done("GET", "/admin/v1/keys", key=self.lead)["data"]}
        self.assertEqual(names, {"lead", "mine"})
        teams = [each["name"] for each in self.done("GET", "/admin/v1/teams", key=self.lead)["data"]]
        self.assertEqual(teams, ["red"])
        path = f"/admin/v1/keys/{self.other['id']}"
        for method, at, body in (
            ("GET", path, None),
            ("PATCH", path, {"rpm": 1}),
            ("DELETE", path, None),
            ("POST", f"{path}/rotate", None),
        ):
            self.assertEqual(self.refused(method, at, body, key=self.lead)[0], 404, method)
        self.assertEqual(self.refused("POST", "/admin/v1/keys", {"name": "x", "team": "blue"}, key=self.lead)[0], 403)
        self.assertEqual(self.refused("POST", "/admin/v1/keys", {"name": "x"}, key=self.lead)[0], 403)
        move = {"team": "blue"}
        self.assertEqual(self.refused("PATCH", f"/admin/v1/keys/{made['id']}", move, key=self.lead)[0], 403)

    def test_nobody_gives_what_they_have_not(self) -> None:
        for roles in (["admin"], ["finance"], ["viewer"], ["team_admin:team/blue"], ["operator", "caller"]):
            body = {"name": "x", "team": "red", "roles": roles}
            self.assertEqual(self.refused("POST", "/admin/v1/keys", body, key=self.lead)[0], 403, roles)
        body = {"name": "x", "team": "red", "roles": ["team_admin", "caller"]}
        self.done("POST", "/admin/v1/keys", body, key=self.lead)

    def test_who_may_not(self) -> None:
        status, message = self.refused("GET", "/admin/v1/keys", key=self.other["key"])
        self.assertEqual((status, "keys:read" in message), (403, True))
        self.assertEqual(self.refused("POST", "/admin/v1/teams", {"name": "x"}, key=self.lead)[0], 403)
        self.assertEqual(self.refused("GET", "/admin/v1/keys", key="nobody")[0], 401)

    def test_roles_of_ones_own(self) -> None:
        self.done("POST", "/admin/v1/roles", {"name": "clerk", "permissions": ["keys:read"]})
        clerk = self.key("clerk", roles=["clerk"])["key"]
        self.assertEqual(len(self.done("GET", "/admin/v1/keys", key=clerk)["data"]), 3)
        self.assertEqual(self.chat(clerk).status, 403)
        for body in (
            {"name": "admin", "permissions": ["keys:read"]},
            {"name": "y", "permissions": ["all"]},
            {"name": "y", "permissions": [{}]},
        ):
            self.assertEqual(self.refused("POST", "/admin/v1/roles", body)[0], 400)

    def test_the_admin_key_asks_no_models(self) -> None:
        status, message = self.refused("POST", "/v1/chat/completions", {"model": "mock/x", "messages": []})
        self.assertEqual((status, message), (403, "This key may not ask for models."))
