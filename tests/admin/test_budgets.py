"""Budgets as people look after them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred

from tests.admin.administration import ADMIN, TOML, Administration
from tests.fakes import Edge


class Budgets(Administration):
    def setUp(self) -> None:
        super().setUp()
        self.done("POST", "/admin/v1/teams", {"name": "red", "budgets": [{"amount": 0.0003, "period": "total"}]})
        self.secret = self.key("app", team="red", budgets=[{"amount": 5, "period": "day"}])["key"]

    def spend(self) -> int:
        """Until it is refused; how many calls were answered."""
        count = 0
        while self.chat(self.secret, max_tokens=10).status == 200:
            count += 1
        self.ship()
        return count

    def one(self, scope: str) -> Any:
        return next(each for each in self.done("GET", "/admin/v1/budgets")["data"] if each["scope"] == scope)

    def test_how_they_stand(self) -> None:
        self.assertEqual(self.spend(), 2)
        team, key = self.one("team"), self.one("key")
        self.assertEqual((team["who"], team["amount_usd"], team["spent_usd"]), ("The team 'red'", "0.0003", "0.000142"))
        self.assertEqual((key["period"], key["spent_usd"], key["held_usd"]), ("day", "0.000142", "0"))

    def test_a_reset(self) -> None:
        """What was spent counts no more, here and in every other process."""
        self.assertEqual(self.spend(), 2)
        self.edge.reactor.advance(60)
        after = self.done("POST", f"/admin/v1/budgets/{quote(self.one('team')['id'])}/reset")
        self.assertEqual(after["spent_usd"], "0")
        self.assertEqual(self.spend(), 2)

    def test_a_raise(self) -> None:
        """More, until its end."""
        self.assertEqual(self.spend(), 2)
        path = f"/admin/v1/budgets/{quote(self.one('team')['id'])}/raise"
        raised = self.done("POST", path, {"amount": "0.0002", "until": "2023-11-15T00:00:00Z"})
        self.assertEqual(raised["amount_usd"], "0.0005")
        self.assertEqual(self.spend(), 3)
        self.edge.reactor.advance(86400)
        self.assertEqual(self.one("team")["amount_usd"], "0.0003")
        for body in ({}, {"amount": 10**8, "until": "2030-01-01"}, {"amount": 1, "until": "2023-11-14"}):
            self.assertEqual(self.refused("POST", path, body)[0], 400, body)
        for body in ({}, {"amount": -1, "until": "2023-11-15"}, {"amount": True}, {"amount": 1, "until": "later"}):
            self.assertEqual(self.refused("POST", path, body)[0], 400, body)

    def test_others_come_and_go(self) -> None:
        """What was reset, raised and is held stays with the budget it was for, wherever in the list that is."""
        budgets = [{"amount": 0.0003, "period": "total"}, {"amount": 7, "period": "day"}]
        self.edge.reactor.advance(60)
        for path in ("reset", "raise"):
            body = {"amount": 1, "until": "2023-11-16"} if path == "raise" else None
            self.done("POST", f"/admin/v1/budgets/{quote(self.one('team')['id'])}/{path}", body)
        team = self.done("GET", "/admin/v1/teams")["data"][0]["id"]
        for changed in (budgets, budgets[::-1], budgets[1:], budgets):
            self.done("PATCH", f"/admin/v1/teams/{team}", {"budgets": changed})
            self.chat(self.secret, max_tokens=10)
            found = [each for each in self.done("GET", "/admin/v1/budgets")["data"] if each["scope"] == "team"]
            self.assertEqual(
                {each["period"]: each["amount_usd"] for each in found},
                {each["period"]: {"total": "1.0003", "day": "7"}[each["period"]] for each in changed},
            )

    def test_keys_of_the_file(self) -> None:
        """Are there before their first call, as after a start, and can be reset and raised."""
        toml = '[[auth.keys]]\nname = "app"\nkey = "key-of-the-file"\nbudgets = [{amount = 5}]\n'
        edge = Edge(TOML + toml, self.environ)
        edge.service._process.store.directory.apply(1, [], [])
        headers = {"authorization": f"Bearer {ADMIN}"}
        (shown,) = edge.ask("GET", "/admin/v1/budgets", headers=headers).json()["data"]
        self.assertEqual((shown["scope_id"], shown["id"]), ("file:app", "key:file:app/month"))
        answer = edge.ask("POST", "/admin/v1/budgets/key:file:app%2Fmonth/reset", headers=headers)
        self.assertEqual(answer.status, 200, answer.body)

    def test_pages(self) -> None:
        """All of them, each once, whatever is taken away between two pages; within reach only."""
        for number in range(7):
            self.key(f"k{number}", team="red", budgets=[{"amount": 1, "period": "day"}, {"amount": 2}])
        whole = [each["id"] for each in self.done("GET", "/admin/v1/budgets")["data"]]
        self.assertEqual((len(whole), len(set(whole))), (16, 16))
        found, after = [], ""
        while after is not None:
            page = self.done("GET", f"/admin/v1/budgets?limit=3&after={quote(after)}")
            found += [each["id"] for each in page["data"]]
            after = page["next"]
        self.assertEqual(found, whole)
        key = whole[5].partition(":")[2].partition("/")[0]
        self.done("PATCH", f"/admin/v1/keys/{key}", {"budgets": [{"amount": 5, "period": "total"}]})
        behind = self.done("GET", f"/admin/v1/budgets?after={quote(whole[5])}")["data"]
        rest = [each for each in whole[6:] if key not in each]
        self.assertEqual([each["id"] for each in behind], rest)
        self.assertEqual(self.refused("GET", "/admin/v1/budgets?limit=201")[0], 400)

    def test_after_a_start(self) -> None:
        """Whatever tells how a budget stands knows what was spent before."""
        self.assertEqual(self.spend(), 2)
        for path, key in (("/v1/key", self.secret), ("/admin/v1/budgets", ADMIN)):
            edge = Edge(TOML, self.environ)
            store = edge.service._process.store
            self.addCleanup(store.database._drop)
            self.successResultOf(Deferred.fromCoroutine(store.refresh()))
            shown = edge.ask("GET", path, headers={"authorization": f"Bearer {key}"}).json()
            budgets = [budget for each in shown.get("limits", ()) for budget in each["budgets"]]
            budgets += shown.get("budgets", shown.get("data", []))
            self.assertEqual({each["spent_usd"] for each in budgets}, {"0.000142"}, path)

    def test_own_team_only(self) -> None:
        """Its keys' budgets, not its own."""
        lead = self.key("lead", team="red", roles=["team_admin"])["key"]
        self.done("POST", "/admin/v1/teams", {"name": "blue", "budgets": [{"amount": 1}]})
        seen = self.done("GET", "/admin/v1/budgets", key=lead)["data"]
        self.assertEqual({each["who"] for each in seen}, {"The team 'red'", "The key 'app'"})
        self.done("POST", f"/admin/v1/budgets/{quote(self.one('key')['id'])}/reset", key=lead)
        of_team = f"/admin/v1/budgets/{quote(self.one('team')['id'])}/reset"
        self.assertEqual(self.refused("POST", of_team, key=lead)[0], 404)
        self.assertEqual(self.refused("POST", "/admin/v1/budgets/nothing/reset")[0], 404)

    def test_is_written_down(self) -> None:
        self.done("POST", f"/admin/v1/budgets/{quote(self.one('team')['id'])}/reset")
        line = self.done("GET", "/admin/v1/audit?action=budget.reset")["data"][0]
        self.assertEqual((line["actor"], line["before"]["who"]), ("admin", "The team 'red'"))
