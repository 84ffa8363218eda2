"""What nobody gets by the way: another team's money, more rights, a look at what is not theirs."""

from __future__ import annotations

from typing import Any

from tests.admin.administration import Administration


class Rights(Administration):
    def setUp(self) -> None:
        super().setUp()
        for name in ("red", "blue"):
            self.done("POST", "/admin/v1/teams", {"name": name, "budgets": [{"amount": 5}]})
            self.done("POST", "/admin/v1/projects", {"name": f"{name}-project", "team": name})
        self.done("POST", "/admin/v1/users", {"name": "anna"})
        self.done("POST", "/admin/v1/organizations", {"name": "acme"})
        self.lead = self.key("lead", team="red", roles=["team_admin"])["key"]
        self.own = self.key("own", team="red")
        self.other = self.key("other", team="blue")

    def holder(self, name: str, *permissions: str, **more: Any) -> str:
        """The secret of a key that may just that."""
        self.done("POST", "/admin/v1/roles", {"name": name, "permissions": list(permissions)})
        return str(self.key(f"{name}-key", roles=[more.pop("role", name)], **more)["key"])


class OfKeys(Rights):
    def test_another_teams_project(self) -> None:
        """Whoever names it would spend its budget."""
        body = {"name": "x", "team": "red", "project": "blue-project"}
        self.assertEqual(self.refused("POST", "/admin/v1/keys", body, key=self.lead)[0], 403)
        status, message = self.refused("POST", "/admin/v1/keys", body)
        self.assertEqual((status, "The project 'blue-project' is another team's" in message), (400, True))
        path = f"/admin/v1/keys/{self.own['id']}"
        self.assertEqual(self.refused("PATCH", path, {"project": "blue-project"}, key=self.lead)[0], 403)
        self.done("PATCH", path, {"project": "red-project"}, key=self.lead)
        self.assertEqual(self.refused("PATCH", path, {"team": "blue"})[0], 400)
        self.assertEqual(self.done("PATCH", path, {"team": "blue", "project": None})["project"], None)

    def test_whoever_leads_a_project_gives_no_other_teams_money(self) -> None:
        self.done("POST", "/admin/v1/projects", {"name": "free"})
        free = self.done("GET", "/admin/v1/projects")["data"]
        id = next(each["id"] for each in free if each["name"] == "free")
        holder = self.holder("clerk", "keys:write", role=f"clerk:project/{id}")
        self.done("POST", "/admin/v1/keys", {"name": "x", "project": "free"}, key=holder)
        body = {"name": "y", "project": "free", "team": "blue"}
        self.assertEqual(self.refused("POST", "/admin/v1/keys", body, key=holder)[0], 403)

    def test_whose_it_is(self) -> None:
        """Another one's limits and budgets are no team's to use, nor to get rid of."""
        path = f"/admin/v1/keys/{self.own['id']}"
        self.assertEqual(self.refused("PATCH", path, {"user": "anna"}, key=self.lead)[0], 403)
        self.done("PATCH", path, {"user": "anna"})
        self.assertEqual(self.refused("PATCH", path, {"user": None}, key=self.lead)[0], 403)
        self.done("PATCH", path, {"rpm": 7}, key=self.lead)

    def test_a_secret_is_worth_what_its_key_may(self) -> None:
        """A new secret of an admin's key in one's team would make one an admin."""
        strong = self.key("strong", team="red", roles=["admin"])
        path = f"/admin/v1/keys/{strong['id']}"
        self.assertEqual(self.refused("POST", f"{path}/rotate", {}, key=self.lead)[0], 403)
        self.assertEqual(self.refused("POST", "/key/strong/regenerate", {}, key=self.lead)[0], 403)
        self.assertEqual(self.refused("PATCH", path, {"rpm": 7}, key=self.lead)[0], 403)
        self.done("POST", f"/admin/v1/keys/{self.own['id']}/rotate", {}, key=self.lead)

    def test_a_role_that_is_not_there_yet(self) -> None:
        """It would grant what somebody makes of it some day."""
        for role in ("tomorrow", "tomorrow:team/red", "finance:team/nobody"):
            status, message = self.refused("POST", "/admin/v1/keys", {"name": "x", "roles": [role]})
            self.assertEqual((status, message.startswith("There is no")), (400, True), role)

    def test_a_role_that_only_the_database_knows(self) -> None:
        """Another process has made it a moment ago."""
        self.done("POST", "/admin/v1/roles", {"name": "new", "permissions": ["audit:read"]})
        self.store.directory._entities = {
            at: each for at, each in self.store.directory._entities.items() if at[0] != "role"
        }
        body = {"name": "x", "team": "red", "roles": ["new"]}
        self.assertEqual(self.refused("POST", "/admin/v1/keys", body, key=self.lead)[0], 403)

    def test_what_is_beyond_ones_reach_does_not_show(self) -> None:
        """Neither whether a team is there, nor a key, nor its id."""
        told = {
            self.refused("POST", "/admin/v1/keys", {"name": "x", "team": name}, key=self.lead)[0]
            for name in ("blue", "nowhere")
        }
        self.assertEqual(told, {403})
        told = {self.refused("GET", f"/key/info?key={name}", key=self.lead)[1] for name in ("other", "nowhere")}
        self.assertEqual(told, {"There is no such key."})
        self.assertEqual(self.refused("GET", f"/key/info?key={self.other['key']}", key=self.lead)[0], 404)
        self.assertEqual(self.refused("POST", "/key/delete", {"keys": ["other"]}, key=self.lead)[0], 404)
        shown = self.done("GET", "/key/list?return_full_object=true", key=self.lead)["keys"]
        self.assertEqual({each["key_alias"] for each in shown}, {"lead", "own"})

    def test_a_deleted_teams_keys(self) -> None:
        """They are refused: its budgets bind nobody any more."""
        self.done("DELETE", f"/admin/v1/teams/{self.other['team']}")
        self.assertEqual(self.chat(self.other["key"]).status, 403)
        self.done("PATCH", f"/admin/v1/keys/{self.other['id']}", {"team": None})
        self.assertEqual(self.chat(self.other["key"]).status, 200)

    def test_two_at_once(self) -> None:
        """Who has not seen what another has changed does not undo it."""
        from llmedge.store import entities

        get, turns = entities.get, [0]

        def late(connection: Any, kind: str, id: str) -> Any:
            entity = get(connection, kind, id)
            turns[0] += 1
            if turns[0] == 1:  # another process, between look and change
                self.store.database._do(lambda c: c.execute("UPDATE entity SET version = 9 WHERE id = ?", [id]))
            return entity

        self.patch(entities, "get", late)
        self.assertEqual(self.refused("PATCH", f"/admin/v1/keys/{self.own['id']}", {"rpm": 7})[0], 409)


class OfOthers(Rights):
    def test_budgets_need_their_own_permission(self) -> None:
        holder = self.holder("maker", "keys:write", "teams:write")
        budgets = [{"amount": 1}]
        for path in ("/admin/v1/keys", "/admin/v1/teams", "/admin/v1/users"):
            self.assertEqual(self.refused("POST", path, {"name": "x", "budgets": budgets}, key=holder)[0], 403, path)
            self.done("POST", path, {"name": "x"}, key=holder)
        team = f"/admin/v1/teams/{self.own['team']}"
        self.assertEqual(self.refused("PATCH", team, {"budgets": None}, key=holder)[0], 403)
        self.assertEqual(
            self.refused("POST", "/team/update", {"team_id": self.own["team"], "max_budget": 9}, key=holder)[0], 403
        )
        self.done("PATCH", team, {"rpm": 7}, key=holder)

    def test_no_team_raises_its_own_budget(self) -> None:
        red = self.own["team"]
        holder = self.holder("lead2", "teams:write", "budgets:write", role=f"lead2:team/{red}")
        self.assertEqual(self.refused("PATCH", f"/admin/v1/teams/{red}", {"budgets": None}, key=holder)[0], 403)
        self.assertEqual(self.refused("PATCH", f"/admin/v1/teams/{red}", {"organization": "acme"}, key=holder)[0], 403)
        self.done("PATCH", f"/admin/v1/teams/{red}", {"rpm": 9}, key=holder)

    def test_nobody_makes_a_role_of_what_they_have_not(self) -> None:
        """Not even by changing the one that they have."""
        holder = self.holder("roles", "roles:write", "keys:read", "roles:read")
        body = {"name": "x", "permissions": ["keys:write"]}
        self.assertEqual(self.refused("POST", "/admin/v1/roles", body, key=holder)[0], 403)
        id = next(each["id"] for each in self.done("GET", "/admin/v1/roles")["data"])
        more = {"permissions": ["roles:write", "audit:read"]}
        self.assertEqual(self.refused("PATCH", f"/admin/v1/roles/{id}", more, key=holder)[0], 403)
        self.done("POST", "/admin/v1/roles", {"name": "y", "permissions": ["keys:read"]}, key=holder)

    def test_litellms_paths_do_nothing_more_by_the_way(self) -> None:
        holder = self.holder("people", "teams:write", "teams:read")
        self.assertEqual(self.refused("POST", "/user/new", {"user_id": "eve"}, key=holder)[0], 403)
        self.done("POST", "/user/new", {"user_id": "eve", "auto_create_key": False}, key=holder)
        info = self.done("GET", f"/team/info?team_id={self.own['team']}", key=holder)
        self.assertEqual((info["keys"], info["team_info"]["spend"]), ([], None))
        keys = self.holder("keys", "keys:write")
        self.assertEqual(self.refused("POST", "/key/generate", {"user_id": "who"}, key=keys)[0], 403)
        self.assertEqual(self.refused("POST", "/budget/new", {"max_budget": 9}, key=self.lead)[0], 403)
        self.done("POST", "/budget/new", {"budget_id": "free", "max_budget": 9})
        body = {"budget_id": "free", "team_id": self.own["team"]}
        self.assertEqual(self.refused("POST", "/key/generate", body, key=self.lead)[0], 404)


class Odd(Rights):
    """What is asked oddly is refused, and never an error of the database: that would cut the ledger off, too."""

    def test_parameters(self) -> None:
        for path in (
            "/admin/v1/keys?after=%00",
            "/admin/v1/spend?from=0001-01-01",
            "/admin/v1/spend?to=9999-12-31T23:59:59-23:59",
            "/admin/v1/calls?key=a%00b",
            "/admin/v1/calls?after=99999999999999999999-x",
            "/admin/v1/audit?after=x",
            "/v1/organization/costs?start_time=9999999999",
            "/v1/organization/costs?start_time=1&page=99999999999999999",
            "/admin/v1/keys?" + "&".join(["a=1"] * 1001),
        ):
            self.assertEqual(self.refused("GET", path)[0], 400, path)
        for path in ("/admin/v1/keys/%00", "/admin/v1/calls/a%00"):
            self.assertEqual(self.refused("GET", path)[0], 404, path)
        self.done("GET", "/admin/v1/spend?day=x&hour=y")
        for text in ("' OR 1=1 --", '"; DROP TABLE entity; --', "%", "_", "\\"):
            for name in ("team", "key", "model"):
                found = self.ask("GET", f"/admin/v1/calls?{name}={_quoted(text)}").json()
                self.assertEqual(found["data"], [], (name, text))
        self.assertEqual(len(self.done("GET", "/admin/v1/keys")["data"]), 3)

    def test_bodies(self) -> None:
        for path, body in (
            ("/admin/v1/keys", {"name": "x\n"}),
            ("/admin/v1/keys", {"name": "x", "metadata": {"a": "\0"}}),
            ("/admin/v1/keys", {"name": "x", "team": "\0"}),
            ("/team/new", {"team_id": "a/b", "team_alias": "x"}),
            ("/user/new", {"user_id": "x" * 65, "user_alias": "x"}),
            ("/key/generate", {"metadata": [1]}),
            ("/key/generate", {"max_budget": 1, "soft_budget": "much"}),
            ("/key/generate", {"models": 7}),
            ("/key/generate", {"duration": "999999999w"}),
            ("/key/delete", {"keys": "all"}),
            ("/key/delete", {"keys": ["own"] * 101}),
        ):
            self.assertEqual(self.refused("POST", path, body)[0], 400, (path, body))
        self.assertEqual(self.refused("POST", "/admin/v1/keys", b"x" * 1_048_577)[0], 413)

    def test_how_much_one_may_be(self) -> None:
        """Every call of a key is held against all that it says."""
        path = f"/admin/v1/keys/{self.own['id']}"
        self.done("PATCH", path, {"budgets": [{"amount": 1}] * 20})
        for body in ({"budgets": [{"amount": 1}] * 21}, {"tags": ["x" * 1000] * 66}):
            self.assertEqual(self.refused("PATCH", path, body)[0], 400)

    def test_secrets_of_one_key(self) -> None:
        for _ in range(7):
            self.done("POST", f"/admin/v1/keys/{self.own['id']}/rotate", {})
        self.assertEqual(self.refused("POST", f"/admin/v1/keys/{self.own['id']}/rotate", {})[0], 409)

    def test_sums_of_an_answer(self) -> None:
        from llmedge.admin import money

        self.patch(money, "MOST", 1)
        for name in ("own", "other"):
            self.chat(getattr(self, name)["key"])
        self.assertEqual(self.done("GET", "/admin/v1/spend")["total"]["calls"], 2)
        status, message = self.refused("GET", "/admin/v1/spend?by=key")
        self.assertEqual((status, "more than 1 sums" in message), (400, True))


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())
