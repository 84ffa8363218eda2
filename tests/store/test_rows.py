"""A finished call's row says all that is asked of the books, and nothing that was said in the call."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import NotFound
from llmedge.model import Account
from llmedge.record import DROPPED, Skipped
from llmedge.store.rows import COLUMNS, Row, day_of, decode, encode, row_of
from tests.store.databases import record, row


class Rows(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        call = record(1_764_400_000.25, request_id="req_1", stream=True, first_event=1_764_400_000.5)
        call.facts[DROPPED] = ["top_k"]
        call.routing.skipped.append(Skipped("azure/gpt-4o", "breaker: open"))
        made = row_of(call, "u")
        detail = json.loads(made.detail)
        self.assertEqual(
            (made.at, made.key_id, made.key, made.team, made.project, made.organization, made.user_id, made.tags),
            (1_764_400_000_250_000, "id-team-a", "team-a", "red", "search", "acme", "anna", '["batch"]'),
        )
        self.assertEqual((made.model, made.provider, made.target), ("gpt-4o", "openai", "gpt-4o-2024"))
        self.assertEqual((made.input, made.output, made.cost, made.unpriced), (1000, 200, 4_500_000_000, 0))
        self.assertEqual((made.duration, made.first_event, made.stream), (500_000, 250_000, 1))
        self.assertEqual(detail["attempts"][0]["target"], "openai/gpt-4o-2024")
        self.assertEqual(detail["attempts"][0]["cost"], 4_500_000_000)
        self.assertEqual(detail["passed_over"], [{"target": "azure/gpt-4o", "why": "breaker: open"}])
        self.assertEqual(detail["facts"], {"dropped": ["top_k"]})

    def test_no_nul(self) -> None:
        """Clients and vendors can send one; a database that took it nowhere would take none of the rows beside it."""
        call = record(3.5)
        call.end_user, call.model, call.error_code = "a\0b", "gpt\0", "\0"
        call.account, call.caller = Account("k\0", "\0", "", "", "\0"), "\0"
        call.error_message = "\0"
        made = row_of(call, "u")
        self.assertEqual((made.end_user, made.model, made.error_code), ("a\ufffdb", "gpt\ufffd", "\ufffd"))
        self.assertFalse([name for name in COLUMNS if "\0" in str(getattr(made, name))])

    def test_there_and_back(self) -> None:
        made = row(3.5)
        self.assertEqual(decode(encode(made)), made)
        self.assertEqual(len(encode(made).splitlines()), 1)
        self.assertEqual(COLUMNS, Row.__struct_fields__)

    def test_a_name_that_nobody_pays_for_is_the_bounded_one(self) -> None:
        """Else whoever makes up names makes up rows in the sums."""
        call = record(1.0, cost=None)
        call.model, call.model_label, call.accounting.usage = "made-up-17", "other", None
        call.fail(NotFound("no such model"))
        self.assertEqual((row_of(call, "u").model, row_of(call, "u").error_code), ("other", "NOT_FOUND"))

    def test_an_unknown_price_is_not_nothing(self) -> None:
        self.assertEqual((row(1.0, cost=None).cost, row(1.0, cost=None).unpriced), (None, 1))
        self.assertEqual((row(1.0, cost="0").cost, row(1.0, cost="0").unpriced), (0, 0))

    def test_days(self) -> None:
        self.assertEqual([day_of(at * 1_000_000) for at in (0, 86399, 86400)], [19700101, 19700101, 19700102])
