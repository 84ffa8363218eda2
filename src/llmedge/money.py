"""Sums of money: whole numbers of 10⁻¹² USD, a *pico*, so that sums are exact whatever the order they are made in.

A price is what a million of something costs, in picos. It is rounded when it is read, a sum once, when it is made.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

USD = 10**12
"""A dollar, in picos."""
MILLION = 10**6


def picos(usd: Decimal) -> int:
    """``usd`` in picos, to the nearest."""
    return int((usd * USD).to_integral_value(ROUND_HALF_UP))


def nearest(sum: int, per: int) -> int:
    """Counts times prices for ``per`` of them, in picos, to the nearest."""
    return (sum + per // 2) // per


def text(pico: int) -> str:
    """The sum in USD, exact, without an exponent: ``0.0000003``."""
    if pico < 0:
        return "-" + text(-pico)
    return ("%d.%012d" % divmod(pico, USD)).rstrip("0").rstrip(".")  # noqa: UP031 - quicker than an f-string
