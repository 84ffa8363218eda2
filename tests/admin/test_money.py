"""What was spent, asked in any way: the same sum to the last digit."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llmedge.admin import export, money
from llmedge.store.database import DatabaseThread
from llmedge.store.rows import row_of
from tests.admin.administration import ADMIN, Administration, at_once
from tests.fakes import request
from tests.store.databases import record

AT = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
TIME = "from=2026-11-01&to=2026-12-01"


class Money(Administration):
    def setUp(self) -> None:
        super().setUp()
        self.red = self.done("POST", "/admin/v1/teams", {"name": "red"})["id"]
        self.keys = {name: self.key(name, team="red" if name != "c" else None)["id"] for name in "abc"}
        rows = []
        for number in range(60):
            name = "abc"[number % 3]
            made = record(
                AT + number * 3600, name, ("gpt-4o", "claude")[number % 2], f"0.00{number:02}1", request_id=f"r{number}"
            )
            team = self.red if name != "c" else ""
            made.account = type(made.account)(self.keys[name], team, "", "", "", ())
            rows.append(row_of(made, f"{number:05}"))
        self.keep(rows)
        self.total = sum(Decimal(row.cost or 0) for row in rows) / 10**12

    def costs(self, path: str, **more: Any) -> Decimal:
        return sum((Decimal(each["cost_usd"]) for each in self.done("GET", path, **more)["data"]), Decimal(0))

    def test_the_same_sum(self) -> None:
        for by in ("", "key", "team,model", "day", "hour", "provider,day"):
            self.assertEqual(self.costs(f"/admin/v1/spend?{TIME}&by={by}"), self.total, by)
        self.assertEqual(self.costs(f"/admin/v1/calls?{TIME}&limit=1000"), self.total)
        exported = self.ask("GET", f"/admin/v1/export?{TIME}").body.decode()
        lines = list(csv.DictReader(io.StringIO(exported)))
        self.assertEqual(sum(Decimal(each["cost_usd"]) for each in lines), self.total)
        lines = [
            json.loads(each) for each in self.ask("GET", f"/admin/v1/export?{TIME}&format=ndjson").body.splitlines()
        ]
        self.assertEqual(sum(Decimal(each["cost_usd"]) for each in lines), self.total)
        self.assertEqual((len(lines), lines[0]["request_id"]), (60, "r59"))

    def test_a_long_answer_is_made_in_the_thread(self) -> None:
        """Of fifty thousand sums it takes a second, of a thousand calls a tenth, which is nobody else's."""
        where: list[bool] = []
        inside = False

        def run(thread: DatabaseThread, work: Any, patience: float | None = None) -> Any:
            nonlocal inside
            inside = True
            try:
                return at_once(thread, work, patience)
            finally:
                inside = False

        self.patch(DatabaseThread, "run", run)
        for path, name in (("spend", "spend_view"), ("calls", "call_view")):
            before = getattr(money, name)
            where.clear()

            def view(*args: Any, before: Any = before) -> Any:
                where.append(inside)
                return before(*args)

            self.patch(money, name, view)
            self.assertEqual(self.costs(f"/admin/v1/{path}?{TIME}&by=key,model&limit=1000"), self.total)
            self.assertEqual(set(where), {True}, path)

    def test_by_name(self) -> None:
        """Whatever may be asked by an id may be asked by the name that people know."""
        for name, id, word in (("team", self.red, "red"), ("key", self.keys["a"], "a")):
            for path in ("spend", "calls"):
                some = f"/admin/v1/{path}?{TIME}&limit=1000&{name}="
                self.assertEqual(self.costs(some + word), self.costs(some + id), path)
                self.assertGreater(self.costs(some + word), 0)
            sizes = [
                len(self.ask("GET", f"/admin/v1/export?{TIME}&format={shape}&{name}={word}").body.splitlines())
                for shape in ("csv", "focus")
            ]
            self.assertGreater(min(sizes), 1)
        self.assertEqual(self.costs(f"/admin/v1/spend?{TIME}&team=nobody"), 0)

    def test_a_client_that_takes_its_time(self) -> None:
        """An export may take longer than a whole answer: it has the time of a stream."""
        self.patch(export, "_STEP", 10)
        wire = self.edge.wire()
        wire.transport.high_water = 500
        wire.send(request("GET", f"/admin/v1/export?{TIME}", headers={"authorization": f"Bearer {ADMIN}"}))
        for _ in range(4):
            self.edge.reactor.advance(self.edge.service.graph.settings.server.timeout / 3)
            wire.transport.producer.resumeProducing()
        wire.transport.high_water = 0
        wire.transport.producer.resumeProducing()
        answer = wire.response()
        self.assertEqual((answer.status, answer.complete, len(answer.body.splitlines())), (200, True, 61))

    def test_names_beside_ids(self) -> None:
        groups = self.done("GET", f"/admin/v1/spend?{TIME}&by=team,key")["data"]
        self.assertEqual(
            {(each.get("team_name"), each["key_name"]) for each in groups}, {("red", "a"), ("red", "b"), (None, "c")}
        )

    def test_of_somebody(self) -> None:
        one = self.done("GET", f"/admin/v1/spend?{TIME}&key={self.keys['a']}")
        self.assertEqual(one["total"]["calls"], 20)
        self.assertEqual(self.done("GET", f"/admin/v1/calls?{TIME}&model=claude&limit=1000")["next"], None)

    def test_own_team_only(self) -> None:
        """In sums, lists, exports and by its id."""
        lead = self.key("lead", team="red", roles=["team_admin"])["key"]
        everything = self.done("GET", f"/admin/v1/spend?{TIME}&by=key", key=lead)["data"]
        self.assertEqual({each["key_name"] for each in everything}, {"a", "b"})
        self.assertEqual(
            {each["key"] for each in self.done("GET", f"/admin/v1/calls?{TIME}", key=lead)["data"]}, {"a", "b"}
        )
        self.assertNotIn(",c,", self.ask("GET", f"/admin/v1/export?{TIME}", key=lead).body.decode())
        self.assertEqual(self.ask("GET", "/admin/v1/calls/r0", key=lead).status, 200)
        self.assertEqual(self.refused("GET", "/admin/v1/calls/r2", key=lead)[0], 404)

    def test_one_call(self) -> None:
        """With every decision that was made for it."""
        shown = self.done("GET", "/admin/v1/calls/r7")
        self.assertEqual(
            (shown["model"], shown["cost_usd"], shown["at"]), ("claude", "0.00071", "2026-11-20T17:00:00Z")
        )
        self.assertEqual(shown["decision"]["attempts"][0]["target"], "openai/claude-2024")

    def test_pages(self) -> None:
        found: list[str] = []
        after = ""
        while True:
            page = self.done("GET", f"/admin/v1/calls?{TIME}&limit=7&after={after}")
            found += [each["request_id"] for each in page["data"]]
            if page["next"] is None:
                break
            after = page["next"]
        self.assertEqual(found, [f"r{number}" for number in range(59, -1, -1)])

    def test_what_makes_no_sense(self) -> None:
        for path in (
            "spend?by=colour",
            "spend?from=yesterday",
            "spend?from=2026-12-01&to=2026-11-01",
            "calls?after=x",
            "calls?limit=5000",
            "export?format=xlsx",
        ):
            self.assertEqual(self.refused("GET", f"/admin/v1/{path}")[0], 400, path)

    def test_a_name_is_no_formula(self) -> None:
        """What a client calls itself is opened in a spreadsheet."""
        made = record(AT, request_id="=HYPERLINK(1)")
        row = row_of(made, "x")
        self.keep([row])
        self.assertIn(",'=HYPERLINK(1),", self.ask("GET", f"/admin/v1/export?{TIME}").body.decode())


class EndUsers(Administration):
    def test_whom_the_client_names(self) -> None:
        """As each dialect has it, or in a header, which goes before; found by it."""
        secret = self.key()["key"]
        said = {"model": "mock/x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        for path, more, headers in (
            ("/v1/chat/completions", {"user": "u-1"}, {}),
            ("/v1/chat/completions", {"safety_identifier": "u-2"}, {}),
            ("/v1/messages", {"metadata": {"user_id": "u-3"}}, {}),
            ("/v1/chat/completions", {"user": "u-5"}, {"x_llmedge_end_user": "u-4"}),
            ("/v1/chat/completions", {"user": "u" * 1000}, {}),
            ("/v1/chat/completions", {}, {}),
        ):
            self.assertEqual(self.ask("POST", path, said | more, secret, **headers).status, 200)
            self.edge.reactor.advance(1)
        calls = self.done("GET", "/admin/v1/calls")["data"]
        users = [each["end_user"] for each in reversed(calls)]
        self.assertEqual(users, ["u-1", "u-2", "u-3", "u-4", "u" * 256, ""])
        found = self.done("GET", "/admin/v1/calls?end_user=u-3")["data"]
        self.assertEqual([each["end_user"] for each in found], ["u-3"])
        self.assertIn(",u-4,", self.ask("GET", "/admin/v1/export?end_user=u-4").body.decode())
        self.assertEqual(self.done("GET", "/spend/logs")[1]["end_user"], "u" * 256)
