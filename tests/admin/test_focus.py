"""Costs as other tools read them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.admin.focus import COLUMNS, divide
from llmedge.model import Target, Usage
from llmedge.store.rows import row_of
from tests.admin.administration import Administration
from tests.store.databases import record

NEVER_NULL = (
    *("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory"),
    *("ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost"),
    *("PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
)
"""Mandatory columns of the specification's that a row of usage has a value in."""


class Focus(Administration):
    def setUp(self) -> None:
        super().setUp()
        self.red = self.done("POST", "/admin/v1/teams", {"name": "red"})["id"]
        self.app = self.key("app", team="red")["id"]
        rows = []
        for number in range(50):
            at = datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp() + number * 3600
            made = record(at, "app", ("gpt-4o", "mock/x")[number % 2], f"0.0{number:02}0123", request_id=f"r{number}")
            made.account = type(made.account)(self.app, self.red, "", "", "=anna", ())
            rows.append(row_of(made, f"{number:05}"))
        self.keep(rows)
        self.total = sum(Decimal(row.cost or 0) for row in rows) / 10**12

    def rows(self, query: str = "", **more: Any) -> list[dict[str, str]]:
        answer = self.ask("GET", f"/admin/v1/export?format=focus&from=2026-11-01&to=2027-01-01{query}", **more)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/csv; charset=utf-8"))
        return list(csv.DictReader(io.StringIO(answer.body.decode())))

    def test_the_same_sum(self) -> None:
        """To the last digit, in every column of costs; each row's is its unit's price times their number."""
        rows = self.rows()
        for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"):
            self.assertEqual(sum(Decimal(each[column]) for each in rows), self.total, column)
        self.assertEqual(sum(int(each["x_Calls"]) for each in rows), 50)
        for each in rows:
            product = Decimal(each["ListUnitPrice"]) * Decimal(each["PricingQuantity"])
            self.assertAlmostEqual(product, Decimal(each["ListCost"]), delta=Decimal("1e-12"))

    def test_columns(self) -> None:
        rows = self.rows()
        self.assertEqual(tuple(rows[0]), COLUMNS)
        for each in rows:
            self.assertEqual([name for name in NEVER_NULL if not each[name]], [])
            self.assertEqual((each["InvoiceId"], each["CommitmentDiscountStatus"]), ("", ""))
            self.assertEqual(
                {each["ConsumedQuantity"], each["PricingQuantity"]}, {f"{float(each['PricingQuantity']):.1f}"}
            )
            self.assertEqual(each["PricingCurrencyListUnitPrice"], each["ListUnitPrice"])
            kind = each["SkuId"].rpartition("/")[2]
            self.assertEqual(each["SkuPriceDetails"], json.dumps({"x_TokenType": kind}, separators=(",", ":")))
        first, last = rows[0], rows[-1]
        shown = [
            first[name] for name in ("SubAccountId", "SubAccountName", "ResourceId", "ResourceName", "PricingUnit")
        ]
        self.assertEqual(shown, [self.red, "red", self.app, "app", "Tokens"])
        self.assertEqual((first["ServiceCategory"], first["ChargeCategory"]), ("AI and Machine Learning", "Usage"))
        self.assertEqual(
            [
                first[name]
                for name in ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
            ],
            ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"],
        )
        self.assertEqual(last["BillingPeriodEnd"], "2027-01-01T00:00:00Z")
        self.assertEqual(first["Tags"], '{"user":"=anna"}')
        self.assertEqual({each["SkuId"].rpartition("/")[0] for each in rows}, {"openai/gpt-4o", "openai/mock/x"})

    def test_of_somebody(self) -> None:
        self.assertEqual(self.rows("&team=nobody"), [])
        lead = self.key("lead", team="red", roles=["team_admin"])["key"]
        self.assertEqual(len(self.rows(key=lead)), len(self.rows()))
        self.done("POST", "/admin/v1/teams", {"name": "blue"})
        other = self.key("other", team="blue", roles=["team_admin"])["key"]
        self.assertEqual(self.rows(key=other), [])


class Divided(SynchronousTestCase):
    def divided(self, cost: int, prices: Mapping[str, int] | None, **counts: int) -> tuple[dict[str, int], str]:
        """The costs of the kinds, and what they are divided by."""

        def price(target: Target, usage: Usage) -> int | None:
            self.assertEqual(target, Target("p", "m"))
            if prices is None:
                return None
            plain = usage.input - usage.cached - usage.cache_write
            return (
                plain * prices["input"]
                + usage.cached * prices["cached"]
                + usage.cache_write * prices["cache_write"]
                + usage.output * prices["output"]
            )

        group = {"provider": "p", "model": "p/m", "calls": 3, "cost": cost, "errors": 0, "unpriced": 0}
        group |= dict.fromkeys(("input", "cached", "cache_write", "output", "reasoning"), 0) | counts
        parts, by = divide(group, price)
        self.assertEqual(sum(each for _, _, each in parts), cost)
        return {kind: each for kind, _, each in parts}, by

    def test_by_prices(self) -> None:
        prices = {"input": 100, "cached": 10, "cache_write": 125, "output": 400}
        costs, by = self.divided(
            7 * 11_650, prices, input=60, cached=20, cache_write=10, output=18, reasoning=3
        )  # 30, 20, 10; 15, 3
        expected = {"input": 3000, "cached": 200, "cache_write": 1250, "output": 6000, "reasoning": 1200}
        self.assertEqual(costs, {kind: 7 * each for kind, each in expected.items()})
        self.assertEqual(by, "prices")

    def test_by_numbers(self) -> None:
        """Where nobody knows a price, and where all of them are nothing."""
        self.assertEqual(self.divided(101, None, input=75, output=25), ({"input": 76, "output": 25}, "tokens"))
        free = dict.fromkeys(("input", "cached", "cache_write", "output"), 0)
        self.assertEqual(self.divided(100, free, input=75, output=25), ({"input": 75, "output": 25}, "tokens"))

    def test_what_is_paid_by_something_else(self) -> None:
        self.assertEqual(self.divided(7, None), ({"requests": 7}, "requests"))
