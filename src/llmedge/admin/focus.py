"""What was spent as rows of FOCUS 1.2, which cost tools read (focus.finops.org, "FOCUS Specification 1.2"): one a day,
key, model and kind of token. What a call cost is known as a whole; it is divided among the kinds by their prices of
today, and where these are not known, by their numbers. The rows' sum is what was spent, to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from llmedge.admin.asked import iso
from llmedge.identity.directory import Directory
from llmedge.model import Target, Usage
from llmedge.money import text
from llmedge.store.spend import Spend

BY = ("key", "team", "project", "organization", "user", "model", "provider")
COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity"),
    *("ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName"),
    *("ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice"),
    *("PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName"),
    *("PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName"),
    *("ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName"),
    *("SubAccountType", "Tags"),
    *("x_Calls", "x_Errors", "x_UnpricedCalls", "x_CostDividedBy"),
)
"""Those of the specification in its order, then our own. ``InvoiceId`` is known to nobody here; commitments there are
none, but rules on what was consumed ask for their status."""
_COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "PricingCurrencyEffectiveCost")
_UNIT_PRICES = (
    *("ContractedUnitPrice", "ListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice"),
)
"""Here all costs are one, and so are all prices of a unit."""
Price = Callable[[Target, Usage], int | None]
"""What a usage costs today, in picos; ``None``: nobody knows."""

_KINDS: Mapping[str, tuple[str, Callable[[int], Usage]]] = {
    "input": ("Input tokens", lambda count: Usage(input=count)),
    "cached": ("Cached input tokens", lambda count: Usage(input=count, cached=count)),
    "cache_write": ("Cache write tokens", lambda count: Usage(input=count, cache_write=count)),
    "output": ("Output tokens", lambda count: Usage(output=count)),
    "reasoning": ("Reasoning tokens", lambda count: Usage(output=count, reasoning=count)),
}


def rows(groups: list[Spend], start: int, end: int, price: Price, directory: Directory) -> Iterator[dict[str, Any]]:
    """The rows of the ``groups`` of a day, or a part of it.

    :param groups: by :data:`BY`. :param start: microseconds since 1970; ``end`` too.
    """
    for group in groups:
        parts, divided_by = divide(group, price)
        of_group = _of_group(group, start, end, directory)
        for number, (kind, quantity, cost) in enumerate(parts):
            of_calls = group if number == 0 else {}  # counts stand once, that sums of them are right
            yield of_group | _of_part(group, kind, quantity, cost) | _ours(of_calls, divided_by)


def divide(group: Mapping[str, Any], price: Price) -> tuple[list[tuple[str, int, int]], str]:
    """The kinds of tokens of ``group`` with their numbers and costs, and what these are divided by: ``prices``,
    ``tokens``. What is paid by something else is of the kind ``requests``."""
    counts = {
        "input": group["input"] - group["cached"] - group["cache_write"],
        "cached": group["cached"],
        "cache_write": group["cache_write"],
        "output": group["output"] - group["reasoning"],
        "reasoning": group["reasoning"],
    }
    counts = {kind: count for kind, count in counts.items() if count > 0}
    total = group["cost"]
    if not counts:
        return [("requests", group["calls"], total)], "requests"
    target = Target(group["provider"], group["model"].removeprefix(f"{group['provider']}/"))
    prices = {kind: price(target, _KINDS[kind][1](count)) for kind, count in counts.items()}
    weights = {kind: weight or 0 for kind, weight in prices.items()}
    by_price = None not in prices.values() and any(weights.values())
    if not by_price:
        weights = counts
    whole, shares, left = sum(weights.values()), {}, total
    for kind, weight in weights.items():
        shares[kind] = total * weight // whole
        left -= shares[kind]
    shares[max(weights, key=weights.__getitem__)] += left
    return [(kind, count, shares[kind]) for kind, count in counts.items()], "prices" if by_price else "tokens"


def _of_group(group: Spend, start: int, end: int, directory: Directory) -> dict[str, Any]:
    day = datetime.fromtimestamp(start / 1_000_000, UTC)
    month = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)

    def name(kind: str) -> str:
        entity = directory.entity(kind, group[kind])
        return group[kind] if entity is None else entity.name

    tags = {kind: name(kind) for kind in ("project", "user") if group[kind]}
    return {
        "BillingAccountId": group["organization"] or "llmedge",
        "BillingAccountName": name("organization") or "llmedge",
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _moment(month),
        "BillingPeriodEnd": _moment(after),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": iso(start),
        "ChargePeriodEnd": iso(end),
        "InvoiceIssuerName": group["provider"] or "llmedge",
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "ProviderName": group["provider"] or "llmedge",
        "PublisherName": group["provider"] or "llmedge",
        "ResourceId": group["key"],
        "ResourceName": name("key"),
        "ResourceType": "API key",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": group["model"],
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": group["team"],
        "SubAccountName": name("team"),
        "SubAccountType": "Team" if group["team"] else "",
        "Tags": msgspec.json.encode(tags).decode(),
    }


def _of_part(group: Spend, kind: str, quantity: int, cost: int) -> dict[str, Any]:
    meter = _KINDS[kind][0] if kind in _KINDS else "Requests"
    unit = "Tokens" if kind in _KINDS else "Requests"
    each = f"{Decimal(text(cost)) / quantity:.18f}".rstrip("0").rstrip(".") if quantity else "0"
    sku = f"{group['provider']}/{group['model'].removeprefix(group['provider'] + '/')}/{kind}"
    return {
        **dict.fromkeys(_COSTS, text(cost)),
        **dict.fromkeys(_UNIT_PRICES, each),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), f"{quantity}.0"),  # a decimal, whoever guesses
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), unit),
        "ChargeDescription": f"{meter} of {group['model']}",
        "SkuId": sku,
        "SkuMeter": meter,
        "SkuPriceDetails": msgspec.json.encode({"x_TokenType": kind} if kind in _KINDS else {}).decode(),
        "SkuPriceId": sku,
    }


def _ours(group: Mapping[str, Any], divided_by: str) -> dict[str, Any]:
    return {
        "x_Calls": group.get("calls", 0),
        "x_Errors": group.get("errors", 0),
        "x_UnpricedCalls": group.get("unpriced", 0),
        "x_CostDividedBy": divided_by,
    }


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
