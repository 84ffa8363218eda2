"""A budget's period begins where people live, whatever their clocks do, and no reset is ever missed."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.budgets import DAYS, Budget
from llmedge.state.periods import NEVER, period

ZONES = ("UTC", "Europe/Amsterdam", "Asia/Tokyo", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "Pacific/Apia")


class Periods(SynchronousTestCase):
    def shown(self, zone: str, at: str, **terms: str) -> list[str]:
        """Beginning and end, as a clock there shows them."""
        there = ZoneInfo(zone)
        moment = datetime.fromisoformat(at).replace(tzinfo=there).timestamp()
        ends = period(Budget(time_zone=zone, **terms), moment)
        return [datetime.fromtimestamp(each, there).strftime("%a %Y-%m-%d %H:%M") for each in ends]

    def test_days_are_as_long_as_they_are(self) -> None:
        """23 and 25 hours where the clocks change; 24 where they never do."""
        for zone, at, hours in (
            ("Europe/Amsterdam", "2026-03-29T12:00", 23),
            ("Europe/Amsterdam", "2026-10-25T12:00", 25),
            ("Asia/Tokyo", "2026-03-29T12:00", 24),
            ("Africa/Cairo", "2026-04-24T12:00", 23),  # midnight itself does not exist
        ):
            moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone)).timestamp()
            start, end = period(Budget(period="day", time_zone=zone), moment)
            self.assertEqual((end - start) / 3600, hours, zone)

    def test_where_they_begin(self) -> None:
        for zone, at, terms, expected in (
            ("Asia/Tokyo", "2026-05-01T00:00", {"period": "day"}, ["Fri 2026-05-01 00:00", "Sat 2026-05-02 00:00"]),
            ("Asia/Tokyo", "2026-04-30T23:59", {"period": "month"}, ["Wed 2026-04-01 00:00", "Fri 2026-05-01 00:00"]),
            (
                *("Europe/Amsterdam", "2026-12-31T23:59"),
                {"period": "month"},
                ["Tue 2026-12-01 00:00", "Fri 2027-01-01 00:00"],
            ),
            ("UTC", "2028-02-29T05:00", {"period": "month"}, ["Tue 2028-02-01 00:00", "Wed 2028-03-01 00:00"]),
            ("UTC", "2026-11-29T05:00", {"period": "week"}, ["Mon 2026-11-23 00:00", "Mon 2026-11-30 00:00"]),
            (
                *("UTC", "2026-11-29T05:00"),
                {"period": "week", "week_starts": "sunday"},
                ["Sun 2026-11-29 00:00", "Sun 2026-12-06 00:00"],
            ),
            (
                *("UTC", "2026-11-29T05:00"),
                {"period": "10d", "starts": "2026-11-01"},
                ["Sat 2026-11-21 00:00", "Tue 2026-12-01 00:00"],
            ),
        ):
            self.assertEqual(self.shown(zone, at, **terms), expected)

    def test_in_all(self) -> None:
        self.assertEqual(period(Budget(period="total"), 5.0), (0, NEVER))

    @given(
        st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
        st.sampled_from(ZONES),
        st.sampled_from(["day", "week", "month", "1d", "7d", "30d"]),
        st.sampled_from(DAYS),
    )
    def test_one_after_another(self, moment: datetime, zone: str, length: str, first: str) -> None:
        """Without a gap, and without one second in two of them."""
        terms = Budget(period=length, time_zone=zone, week_starts=first)
        at = moment.replace(tzinfo=ZoneInfo("UTC")).timestamp()
        start, end = period(terms, at)
        self.assertTrue(start <= at < end)
        self.assertEqual(period(terms, start), (start, end))
        self.assertEqual(period(terms, end - 1), (start, end))
        self.assertEqual(period(terms, end)[0], end)
        self.assertLessEqual(timedelta(seconds=end - start), timedelta(days=32))
