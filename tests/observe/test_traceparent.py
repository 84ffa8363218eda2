"""The context that a request brings along."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from llmedge.observe import traceparent
from tests.fakes import CHAT
from tests.web.test_multipart import FILE, MODEL, TYPE, body
from tests.web.through import Through

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COMING = f"00-{TRACE}-{PARENT}-01"


class Passed(Through):
    """Where nothing is traced here, a client's trace goes on to the vendor: the chain does not break at the gateway."""

    CALLS = (
        ("/v1/chat/completions", {"json": CHAT}),
        ("/v1/chat/completions", {"json": CHAT | {"stream": True}}),
        ("/v1/messages", {"json": CHAT | {"max_tokens": 9}}),
        ("/v1/embeddings", {"json": {"model": "m", "input": "x"}}),
        ("/v1/moderations", {"json": {"model": "m", "input": "x"}}),
        ("/v1/audio/transcriptions", {"form": body(MODEL + b"m", FILE + b"x")}),
    )

    def test_with_every_operation(self) -> None:
        """As it came, whatever its flags; nothing else is made of it."""
        for path, sent in self.CALLS:
            for flags in ("00", "01", "03"):
                self.begin()
                headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}", "tracestate": "a=1, b=2"}
                if "form" in sent:
                    headers["content-type"] = TYPE
                self.ask(path, sent.get("json", sent.get("form")), headers=headers)
                fields = self.vendor().head[1]
                self.assertEqual(fields["traceparent"], f"00-{TRACE}-{PARENT}-{flags}", path)
                self.assertEqual(fields["tracestate"], "a=1,b=2")

    def test_what_is_none(self) -> None:
        """Nothing malformed is sent on, and none is made up."""
        for wrong in (None, "x", COMING.upper(), f"00-{'0' * 32}-{PARENT}-01", f"{COMING}-x"):
            self.begin()
            headers = {"tracestate": "a=1"} | ({} if wrong is None else {"traceparent": wrong})
            self.ask("/v1/chat/completions", CHAT, headers=headers)
            fields = self.vendor().head[1]
            self.assertFalse({"traceparent", "tracestate"} & set(fields), wrong)

    def test_a_second_try(self) -> None:
        """Each attempt is under the client's span."""
        self.begin("[routing]\nretries = 1\nretry_cap = 0.001\n")
        self.ask("/v1/chat/completions", CHAT, headers={"traceparent": COMING})
        self.vendor().answer(500, {"error": {"message": "no"}})
        self.edge.reactor.advance(0.01)
        self.assertEqual(self.vendor().head[1]["traceparent"], COMING)


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
