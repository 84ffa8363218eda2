"""The context that a request brings along."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from llmedge.observe import traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COMING = f"00-{TRACE}-{PARENT}-01"


class Context(SynchronousTestCase):
    def begin(self, *parents: str, state: tuple[str, ...] = (), ratio: float = 1.0) -> Any:
        headers = Headers({"traceparent": list(parents), "tracestate": list(state)})
        return traceparent.begin(headers, ratio, False)

    def test_malformed_is_ignored(self) -> None:
        """A new trace begins, and nothing of the old is sent on."""
        for wrong in (
            "",
            "x",
            COMING.upper(),
            COMING + "-",
            COMING + "-x",
            COMING[:-1],
            f"ff-{TRACE}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE}-{PARENT}-0g",
            f"00-{TRACE}x-{PARENT}-01",
            f"01-{TRACE}-{PARENT}-01x",
        ):
            trace = self.begin(wrong, state=("a=1",))
            self.assertNotEqual(trace.trace_id, TRACE, wrong)
            self.assertEqual((trace.parent_id, trace.tracestate, trace.flags), ("", "", 1))
        self.assertEqual(self.begin(COMING, COMING).parent_id, "")

    def test_a_later_version_is_read_as_far_as_it_is_known(self) -> None:
        """What it adds at the end is passed over."""
        trace = self.begin(f"cc-{TRACE}-{PARENT}-03-what-comes")
        self.assertEqual((trace.trace_id, trace.parent_id, trace.flags), (TRACE, PARENT, 1))

    def test_tracestate(self) -> None:
        """Sent on when all of it is well-formed, several lines as one; dropped whole otherwise."""
        for good, sent in (
            (("a=1", "b=2 x"), "a=1,b=2 x"),
            (("t9@v=1 , ,x/y-*_z=!",), "t9@v=1,x/y-*_z=!"),
            ((), ""),
        ):
            self.assertEqual(self.begin(COMING, state=good).tracestate, sent)
        many = ",".join(f"k{number}=1" for number in range(33))
        for wrong in (
            "A=1",
            "a",
            "a=",
            "a=1,a=2",
            "a=x=y",
            "a=\xe9",
            "a=1\x7f",
            many,
            f"a={'x' * 257}",
            f"a={'x' * 600}",
        ):
            self.assertEqual(self.begin(COMING, state=(wrong,)).tracestate, "", wrong)

    def test_ratio(self) -> None:
        """About as many traces are kept as it says."""
        kept = sum(self.begin(ratio=0.25).flags for _ in range(2000))
        self.assertTrue(380 < kept < 620, kept)
