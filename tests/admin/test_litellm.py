"""Scripts that were written for LiteLLM find what they know."""

from __future__ import annotations

from typing import Any

from tests.admin.administration import Administration


class Faces(Administration):
    def generate(self, **fields: Any) -> Any:
        return self.done("POST", "/key/generate", fields)


class Keys(Faces):
    def test_generate(self) -> None:
        """With limits, a budget, a duration, an owner who need not be there."""
        team = self.done("POST", "/team/new", {"team_alias": "red", "team_id": "team-red", "tpm_limit": 50_000})
        self.assertEqual((team["team_id"], team["tpm_limit"]), ("team-red", 50_000))
        made = self.generate(
            key_alias="app",
            team_id="team-red",
            user_id="anna",
            models=["mock/x"],
            max_budget=5,
            budget_duration="30d",
            rpm_limit=100,
            max_parallel_requests=4,
            duration="30d",
            metadata={"owner": "anna", "nested": {"a": [1]}},
            tags=["batch"],
            guardrails=["pii"],
        )
        self.assertTrue(made["key"].startswith("sk-"))
        shown = [made[name] for name in ("max_budget", "budget_duration", "expires", "user_id", "team_id")]
        self.assertEqual(shown, [5.0, "30d", "2023-12-14T22:13:20Z", "anna", "team-red"])
        self.assertEqual(made["metadata"]["nested"], '{"a":[1]}')
        self.assertEqual(made["guardrails"], ["pii"])
        self.assertEqual(self.chat(made["key"]).error["code"], "guardrail_unavailable")  # none is configured here
        self.done("POST", "/key/update", {"key": made["key"], "guardrails": []})
        self.assertEqual(self.chat(made["key"]).status, 200)
        self.assertEqual(self.chat(made["key"], "mock/y").status, 403)
        info = self.done("GET", f"/key/info?key={made['key']}")["info"]
        self.assertEqual((info["spend"], info["key_alias"]), (7.1e-05, "app"))
        self.assertEqual(info["key_name"], f"sk-...{made['key'][-4:]}")
        self.assertNotIn(made["key"], str(self.edge.records[-1]))

    def test_a_life(self) -> None:
        made = self.generate(key_alias="app")
        self.done("POST", "/key/update", {"key": made["key"], "rpm_limit": 7, "models": ["all-team-models"]})
        self.assertEqual(self.done("GET", "/key/info?key=app")["info"]["rpm_limit"], 7)
        self.done("POST", "/key/block", {"key": made["key"]})
        self.assertEqual(self.chat(made["key"]).status, 403)
        self.done("POST", "/key/unblock", {"key": made["token"]})
        again = self.done("POST", "/key/app/regenerate", {})
        self.edge.reactor.advance(self.store.database._do(lambda c: c.now()) / 1e6 + 1 - self.edge.reactor.seconds())
        self.assertEqual([self.chat(each["key"]).status for each in (made, again)], [401, 200])
        self.assertEqual(self.done("POST", "/key/delete", {"keys": [again["key"]]}), {"deleted_keys": [made["token"]]})
        self.assertEqual(self.chat(again["key"]).status, 401)
        self.assertEqual(self.refused("GET", "/key/info?key=app")[0], 404)

    def test_list(self) -> None:
        for number in range(5):
            self.generate(key_alias=f"k{number}")
        page = self.done("GET", "/key/list?page=2&size=2&return_full_object=true")
        self.assertEqual((page["total_count"], page["total_pages"], len(page["keys"])), (5, 3, 2))
        self.assertEqual(self.done("GET", "/key/list?key_alias=k3")["total_count"], 1)

    def test_budgets(self) -> None:
        """By name, by model, and warned of."""
        self.done("POST", "/budget/new", {"budget_id": "free", "max_budget": 0, "rpm_limit": 3})
        free = self.generate(budget_id="free")
        self.assertEqual((free["max_budget"], free["rpm_limit"]), (0.0, 3))
        self.assertEqual(self.chat(free["key"]).status, 429)
        self.assertEqual(self.done("POST", "/budget/info", {"budgets": ["free"]})[0]["max_budget"], 0.0)
        each = {"mock/x": {"budget_limit": "0", "time_period": "1d"}}
        of_model = self.generate(model_max_budget=each)
        self.assertEqual([self.chat(of_model["key"], name).status for name in ("mock/x", "mock/y")], [429, 200])

    def test_a_budget_that_is_changed(self) -> None:
        """What is not said of it stays: its period, its soft limit, the budgets of single models."""
        each = {"mock/y": {"budget_limit": 7, "time_period": "1d"}}
        made = self.generate(max_budget=5, budget_duration="30d", soft_budget=4, model_max_budget=each)
        path = f"/admin/v1/keys/{made['token']}"
        before = self.done("GET", path)["budgets"]
        changed = self.done("POST", "/key/update", {"key": made["token"], "max_budget": 10})
        self.assertEqual((changed["max_budget"], changed["budget_duration"]), (10.0, "30d"))
        self.assertEqual(self.done("GET", path)["budgets"], [{**before[0], "amount": 10}, before[1]])
        for more in ({"budget_duration": "7d"}, {"soft_budget": 1}):
            self.done("POST", "/key/update", {"key": made["token"], **more})
        after = self.done("GET", path)["budgets"]
        self.assertEqual(after, [{"amount": 10, "period": "7d", "soft": [0.1]}, before[1]])
        self.done("POST", "/key/update", {"key": made["token"], "max_budget": None})
        self.assertEqual(self.done("GET", path)["budgets"], [before[1]])

    def test_a_budget_of_our_own(self) -> None:
        """One whose period nobody has said is for a month, as it is; those that LiteLLM has no word for stay."""
        budgets = [{"amount": 5}, {"amount": 3, "models": ["a-*", "b-*"]}]
        id = self.key("own", budgets=budgets)["id"]
        self.assertEqual(self.done("GET", "/key/info?key=own")["info"]["budget_duration"], "month")
        self.done("POST", "/key/update", {"key": "own", "max_budget": 6, "model_max_budget": {}})
        self.assertEqual(self.done("GET", f"/admin/v1/keys/{id}")["budgets"], [{"amount": 6}, budgets[1]])

    def test_a_plan(self) -> None:
        """What is said besides changes what it gives, and does not take it away; a key may be given one later."""
        self.done("POST", "/budget/new", {"budget_id": "free", "max_budget": 2, "budget_duration": "30d"})
        made = self.generate(budget_id="free", budget_duration="7d")
        self.assertEqual((made["max_budget"], made["budget_duration"]), (2.0, "7d"))
        self.generate(key_alias="later")
        later = self.done("POST", "/key/update", {"key": "later", "budget_id": "free", "user_id": "anna"})
        self.assertEqual([later[each] for each in ("max_budget", "budget_duration", "user_id")], [2.0, "30d", "anna"])

    def test_no_limit_is_passed_over(self) -> None:
        """What would hold a key to something, and is not known here, is refused; what says nothing is not."""
        for fields in (
            {"allowed_routes": ["/v1/embeddings"]},
            {"model_rpm_limit": {"mock/x": 1}},
            {"permissions": {"x": False}},
            {"key_type": "read_only"},
            {"soft_budget": 3},
            {"model_max_budget": {"mock/x": {"budget_limit": 1, "rpm_limit": 3}}},
        ):
            self.assertEqual(self.refused("POST", "/key/generate", fields)[0], 400, fields)
        self.generate(allowed_routes=[], permissions={}, aliases={}, config=None, key_type="llm_api")
        self.assertEqual(self.refused("POST", "/team/new", {"team_member_budget": 3})[0], 400)

    def test_what_cannot_be_said(self) -> None:
        for fields in (
            {"key": "sk-mine"},
            {"duration": "soon"},
            {"max_budget": 1, "budget_duration": "30s"},
            {"team_id": "x"},
        ):
            self.assertEqual(self.refused("POST", "/key/generate", fields)[0], 400, fields)

    def test_who_may(self) -> None:
        made = self.generate()
        self.assertEqual(self.refused("POST", "/key/generate", {}, key=made["key"])[0], 403)


class Others(Faces):
    def test_teams(self) -> None:
        made = self.done("POST", "/team/new", {"team_alias": "red", "max_budget": 1})
        self.generate(key_alias="app", team_id=made["team_id"])
        self.done("POST", "/team/update", {"team_id": made["team_id"], "team_alias": "green", "blocked": True})
        info = self.done("GET", f"/team/info?team_id={made['team_id']}")
        self.assertEqual((info["team_info"]["team_alias"], info["team_info"]["blocked"]), ("green", True))
        self.assertEqual([each["key_alias"] for each in info["keys"]], ["app"])
        self.assertEqual([each["team_id"] for each in self.done("GET", "/team/list")], [made["team_id"]])

    def test_users(self) -> None:
        made = self.done("POST", "/user/new", {"user_id": "anna", "user_email": "anna@example.com", "max_budget": 3})
        self.assertEqual(self.chat(made["key"]).status, 200)
        self.done("POST", "/user/update", {"user_id": "anna", "rpm_limit": 9})
        info = self.done("GET", "/user/info?user_id=anna")
        self.assertEqual((info["user_info"]["rpm_limit"], info["user_info"]["user_email"]), (9, "anna@example.com"))
        self.assertEqual(self.done("GET", "/user/list")["total"], 1)

    def test_deleted(self) -> None:
        """Teams and users, some at a time; their keys are refused."""
        team = self.done("POST", "/team/new", {"team_alias": "red"})["team_id"]
        keys = [self.generate(team_id=team)["key"], self.generate(user_id="anna")["key"]]
        self.assertEqual(self.done("POST", "/team/delete", {"team_ids": [team]}), {"deleted_teams": [team]})
        self.assertEqual(self.done("POST", "/user/delete", {"user_ids": ["anna"]}), {"deleted_users": ["anna"]})
        self.assertEqual([self.chat(key).status for key in keys], [403, 403])
        self.assertEqual([self.done("GET", "/team/list"), self.done("GET", "/user/list")["total"]], [[], 0])
        for path, field in (("/team/delete", "team_ids"), ("/user/delete", "user_ids"), ("/key/delete", "keys")):
            self.assertEqual(self.refused("POST", path, {field: ["x"] * 101})[0], 400, path)


class Spent(Faces):
    def setUp(self) -> None:
        super().setUp()
        self.done("POST", "/team/new", {"team_alias": "red", "team_id": "t"})
        self.made = self.generate(key_alias="app", team_id="t", user_id="anna")
        for _ in range(3):
            self.answer = self.chat(self.made["key"])

    def test_logs(self) -> None:
        logs = self.done("GET", f"/spend/logs?api_key={self.made['key']}")
        self.assertEqual([round(each["spend"], 9) for each in logs], [7.1e-05] * 3)
        self.assertEqual(
            (logs[0]["api_key"], logs[0]["team_id"], logs[0]["total_tokens"]), (self.made["token"], "t", 8)
        )
        one = self.done("GET", f"/spend/logs?request_id={self.answer.headers['x-request-id']}")
        self.assertEqual(len(one), 1)
        days = self.done("GET", "/spend/logs?start_date=2023-11-01&end_date=2023-11-30")
        shown = [days[0][name] for name in ("startTime", "spend", "models")]
        self.assertEqual(shown, ["2023-11-14", 0.000213, {"mock/x": 0.000213}])

    def test_the_same_everywhere(self) -> None:
        """Whatever shows a key, a user or a team shows what they have spent."""
        token = self.made["token"]
        for method, path, body, kind in (
            ("GET", "/key/info?key=app", None, "info"),
            ("POST", "/key/update", {"key": token, "rpm_limit": 900}, ""),
            ("POST", "/key/unblock", {"key": token}, ""),
            ("POST", f"/key/{token}/regenerate", {}, ""),
            ("GET", "/user/info?user_id=anna", None, "user_info"),
            ("POST", "/user/update", {"user_id": "anna", "rpm_limit": 900}, "data"),
            ("POST", "/team/update", {"team_id": "t", "rpm_limit": 900}, "data"),
        ):
            shown = self.done(method, path, body)
            self.assertEqual((shown[kind] if kind else shown)["spend"], 0.000213, path)
        self.assertEqual(self.done("GET", "/user/list")["users"][0]["spend"], 0.000213)
        self.assertEqual(self.done("GET", "/user/info?user_id=anna")["keys"][0]["spend"], 0.000213)

    def test_report(self) -> None:
        dates = "start_date=2023-11-01&end_date=2023-11-30"
        (day,) = self.done("GET", f"/global/spend/report?{dates}")
        self.assertEqual((day["group_by_day"], day["teams"][0]["team_name"]), ("2023-11-14", "red"))
        self.assertEqual(day["teams"][0]["total_spend"], 0.000213)
        (key,) = self.done("GET", f"/global/spend/report?{dates}&group_by=api_key")
        self.assertEqual((key["api_key"], key["total_cost"]), (self.made["token"], 0.000213))
        self.assertEqual(key["model_details"][0]["model"], "mock/x")
        self.assertEqual(self.refused("GET", "/global/spend/report?group_by=moon")[0], 400)

    def test_openais(self) -> None:
        """Buckets, page after page."""
        usage = self.done("GET", "/v1/organization/usage/completions?start_time=1699920000&group_by[]=model&limit=3")
        (result,) = usage["data"][0]["results"]
        self.assertEqual((result["num_model_requests"], result["output_tokens"], result["model"]), (3, 21, "mock/x"))
        self.assertEqual(usage["has_more"], False)
        costs = self.done("GET", "/v1/organization/costs?start_time=1699488000&limit=3")
        self.assertEqual((len(costs["data"]), costs["has_more"]), (3, True))
        rest = self.done("GET", f"/v1/organization/costs?start_time=1699488000&limit=10&page={costs['next_page']}")
        results = [each["amount"]["value"] for bucket in rest["data"] for each in bucket["results"]]
        self.assertEqual(results, [0.000213])
        for query in ("", "?start_time=1&group_by=moon", "?start_time=1&bucket_width=1m"):
            self.assertEqual(self.refused("GET", f"/v1/organization/usage/completions{query}")[0], 400, query)
