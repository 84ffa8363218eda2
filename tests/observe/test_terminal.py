"""The access log's line for people."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO
from typing import Any

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import AuthError, UpstreamCut
from llmedge.model import Target, Usage
from llmedge.money import picos
from llmedge.observe import access
from llmedge.observe.terminal import terminal_line, text_observer
from llmedge.record import FALLBACK, Attempt, Record
from tests.fakes import CHAT, Edge


def record(**more: Any) -> Record:
    """Of a call that took 68 ms."""
    said = {"caller": "team-a", "status": 200, "outcome": "ok", "model": "smart", "ended": 1.0684}
    return Record("req_1", "POST", "/v1/chat/completions", "10.0.0.7", 1.0, **(said | more))


class Line(SynchronousTestCase):
    def test_a_call(self) -> None:
        """What was asked for and who answered, for whom, what it took."""
        call = record()
        call.routing.attempts = [Attempt(Target("openai", "gpt-4o"), 1.0)]
        call.accounting.usage = Usage(1000, 200)
        call.accounting.cost = picos(Decimal("0.0060"))
        self.assertEqual(terminal_line(call), "200 smart → openai/gpt-4o team-a 1000+200 tokens $0.006 68 ms req_1")

    def test_a_fallback(self) -> None:
        """Who answered, not who was asked last; tokens that are estimated, a price that nobody knows."""
        call = record(facts={FALLBACK: "other"})
        call.routing.attempts = [Attempt(Target("p", name), 1.0) for name in ("one", "two", "three")]
        call.routing.answered_by = call.routing.attempts[1]
        call.accounting.usage = Usage(10, 2, estimated=True)
        self.assertEqual(
            terminal_line(call), "200 smart → p/two (fallback, 3 attempts) team-a about 10+2 tokens 68 ms req_1"
        )

    def test_refusals_and_failures(self) -> None:
        """The error in words, at the end, whatever is known before."""
        refused = record(caller="", model="", status=401, outcome="")
        refused.fail(AuthError("Invalid API key"))
        self.assertEqual(
            terminal_line(refused),
            "401 error POST /v1/chat/completions 10.0.0.7 68 ms req_1 AUTH_ERROR: Invalid API key",
        )
        cut = record(outcome="")
        cut.routing.attempts = [Attempt(Target("p", "m"), 1.0)]
        cut.fail(UpstreamCut("The stream broke."), "cut")
        self.assertEqual(terminal_line(cut), "200 cut smart → p/m team-a 68 ms req_1 UPSTREAM_ERROR: The stream broke.")

    def test_costs(self) -> None:
        for cost, shown in (
            ("0", "$0"),
            ("0.0000004", "$0"),
            ("0.00015", "$0.00015"),
            ("12.5", "$12.5"),
            ("100", "$100"),
        ):
            call = record()
            call.accounting.usage, call.accounting.cost = Usage(1, 1), picos(Decimal(cost))
            self.assertIn(f"1+1 tokens {shown} 68 ms", terminal_line(call))

    def test_nothing_moves_the_cursor(self) -> None:
        """A client may send any model name, and a vendor any message."""
        call = record(model="a\x1b[2J\nb", error_code="E", error_message="\u202e\r\ud800x")
        self.assertTrue(terminal_line(call).isprintable())
        self.assertIn("a\\x1b[2J\\nb", terminal_line(call))
        self.assertIn("req_1 E: \\u202e\\r\\ud800x", terminal_line(call))

    def test_other_lines_move_none_either(self) -> None:
        """Such as those that a failed attempt is told in; what goes on is on lines of its own."""
        out = StringIO()
        log = Logger("llmedge.x", observer=text_observer(out))
        log.warn("{model} failed: {why}", model="a\x1b[2J", why="\u202e one\r\ntwo\tthree\x9b")
        log.info("{{x}} {x}", x="{x}")
        warned, more, told, end = out.getvalue().split("\n")
        self.assertTrue(warned.endswith("[llmedge.x#warn] a\\x1b[2J failed: \\u202e one\\r"), warned)
        self.assertEqual((more, end), ("\ttwo\\tthree\\x9b", ""))
        self.assertTrue(told.endswith("[llmedge.x#info] {x} {x}"), told)

    def test_is_what_other_observers_get(self) -> None:
        """With the JSON line beside it, for the log that writes such."""
        events: list[dict[str, Any]] = []
        self.patch(access, "globalLogPublisher", LogPublisher(events.append))
        Edge().ask(body=CHAT, headers={"x-request-id": "r-1"})
        (event,) = [each for each in events if "log_line" in each]
        self.assertRegex(event["message"], r"^200 mock-model → mock/mock-model anonymous 3\+9 tokens \$0 \d+ ms r-1$")
        self.assertIn('"message":"POST /v1/chat/completions 200 ok', event["log_line"])
