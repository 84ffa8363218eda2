"""LiteLLM's generic guardrail API, asked as LiteLLM asks it; what is no clear verdict is a failure."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from llmedge.call import RoutingHints
from llmedge.config import ConfigError
from llmedge.guards.interfaces import CalledTool, GuardFailed, Judgement, Medium, OfferedTool
from tests.effort import examples
from tests.guards.asking import CANARY, Checking, guardrail, place

TOML = """
type = "webhook"
url = "http://127.0.0.1:8100"
api_key = "guard-key"
headers = {"X-Service-Name" = "edge"}
params = {threshold = 0.8}
extra_headers = ["x-session"]
"""
PLACES = (place("system text", "system", role="system"), place(CANARY, message=1), place("more", message=1))
TEXTS = [each.text for each in PLACES]
CHANGED = ["system text", "***", "more"]


class Asking(Checking):
    def setUp(self) -> None:
        self.begin(TOML)

    def test_what_it_is_asked(self) -> None:
        """All fields of LiteLLM's client, null where there is nothing, at its path and with its header."""
        call = self.call(hints=RoutingHints(header={"x-session": "s-1"}.get))
        judging = self.check(
            *PLACES,
            call=call,
            offered=[OfferedTool("get_weather", "of a city", b'{"type":"object"}')],
            called=[CalledTool("get_weather", '{"city":"Rome"}', "call_1", "tool_calls")],
            media=[Medium("image", "request", "data:image/png;base64,AA"), Medium("audio", "request")],
        )
        service = self.service()
        line, headers = service.head
        self.assertEqual(line, "POST /beta/litellm_basic_guardrail_api HTTP/1.1")
        self.assertEqual((headers["x-api-key"], headers["x-service-name"]), ("guard-key", "edge"))
        self.assertEqual((headers["content-type"], headers["Host"]), ("application/json", "127.0.0.1:8100"))
        self.assertEqual(
            service.asked,
            {
                "texts": TEXTS,
                "input_type": "request",
                "images": ["data:image/png;base64,AA"],
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "description": "of a city",
                            "parameters": {"type": "object"},
                        },
                    }
                ],
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
                    }
                ],
                "structured_messages": [
                    {"role": "system", "content": "system text"},
                    {"role": "user", "content": f"{CANARY}\nmore"},
                ],
                "request_data": {
                    "user_api_key_hash": "key-1",
                    "user_api_key_alias": "alice",
                    "user_api_key_user_id": "user-1",
                    "user_api_key_user_email": None,
                    "user_api_key_team_id": "team-1",
                    "user_api_key_team_alias": None,
                    "user_api_key_end_user_id": "end-1",
                    "user_api_key_org_id": "org-1",
                },
                "request_headers": {"x-session": "s-1"},
                "litellm_version": None,
                "litellm_call_id": "req-1",
                "litellm_trace_id": None,
                "additional_provider_specific_params": {"threshold": 0.8},
                "model": "m",
            },
        )
        service.answer({"action": "NONE"})
        self.assertEqual(self.successResultOf(judging).verdict, "pass")

    def test_an_answer(self) -> None:
        """Tools are told of requests only; of a streamed answer, where in it the texts stand."""
        judging = self.check(
            place("said", "response", role="assistant"), of="response", offered=[OfferedTool("t")], position="end"
        )
        asked = self.service().asked
        told = [asked[name] for name in ("input_type", "texts", "tools", "structured_messages", "stream_position")]
        self.assertEqual(told, ["response", ["said"], None, None, "end"])
        self.service().answer({"action": "BLOCKED", "blocked_reason": CANARY})
        self.assertEqual(self.successResultOf(judging), Judgement("block", "webhook"))

    def test_one_connection(self) -> None:
        """It is kept, whatever is answered."""
        for status in (200, 400, 200):
            judging = self.check(*PLACES)
            self.service().answer({"action": "NONE"}, status)
            if status == 200:
                self.assertEqual(self.successResultOf(judging).verdict, "pass")
            else:
                self.fails(judging)
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertFalse(self.last.transport.disconnecting)

    def test_nothing_to_judge(self) -> None:
        self.assertEqual(self.judged().verdict, "pass")
        self.assertEqual(self.reactor.tcpClients, [])

    def test_urls(self) -> None:
        """The path may be there already, as LiteLLM has it."""
        for url, path in (("http://h:1/x", "/x"), ("http://h:1/beta/litellm_basic_guardrail_api", "")):
            self.begin(f'type = "webhook"\nurl = "{url}"')
            self.check(*PLACES)
            self.assertEqual(self.service().head[0], f"POST {path}/beta/litellm_basic_guardrail_api HTTP/1.1")

    def test_configuration(self) -> None:
        for toml, words in (
            ("", "needs url"),
            ('url = "http://h"\nextra_headers = ["Authorization"]', "extra_headers must not have Authorization"),
            ('url = "http://h"\nstream = "live"', "stream must be sentence, hold or after"),
        ):
            error = self.assertRaises(ConfigError, guardrail, f'type = "webhook"\n{toml}')
            self.assertIn(words, str(error))
        self.assertNotIn("guard-key", repr(self.settings))


VERDICTS: tuple[tuple[Any, Any], ...] = (
    ({"action": "NONE"}, "pass"),
    ({"action": "NONE", "texts": None, "images": None, "tools": []}, "pass"),
    ({"action": "NONE", "texts": []}, "pass"),
    ({"action": "NONE", "texts": TEXTS}, "pass"),
    ({"action": "NONE", "texts": CHANGED}, "change"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": CHANGED}, "change"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": TEXTS}, "pass"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": CHANGED, "stream_holdback_chars": [1, 2, 3]}, "change"),
    ({"action": "BLOCKED"}, "block"),
    ({"action": "BLOCKED", "blocked_reason": CANARY, "texts": ["x"]}, "block"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": CHANGED[:2]}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": [*CHANGED, "x"]}, "answer"),
    ({"action": "NONE", "texts": ["x"]}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": ["a", None, "b"]}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": "abc"}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED"}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED", "texts": []}, "answer"),
    ({"action": "GUARDRAIL_INTERVENED", "images": ["x"]}, "answer"),
    ({"action": "NONE", "tools": [{"type": "function"}]}, "answer"),
    ({"action": "NONE", "structured_messages": [{"role": "user", "content": "x"}]}, "answer"),
    ({"action": "none"}, "answer"),
    ({"action": "ALLOW"}, "answer"),
    ({"action": None}, "answer"),
    ({"action": ["NONE"]}, "answer"),
    ({}, "answer"),
    ([], "answer"),
    (None, "answer"),
    (b"", "answer"),
    (b"NONE", "answer"),
    (b'{"action": "NONE"', "answer"),
    (b'{"action": "NONE"}}', "answer"),
    (b'\xff{"action": "NONE"}', "answer"),
    (b"[" * 100_000, "answer"),
)
STATUSES = {
    **dict.fromkeys((500, 502, 503, 504, 401, 403, 404, 429), "unavailable"),
    **dict.fromkeys((301, 302, 304, 400, 413, 422), "answer"),
}


class Verdicts(Checking):
    def setUp(self) -> None:
        self.begin(TOML)

    def test_table(self) -> None:
        for said, means in VERDICTS:
            self.begin(TOML)
            judging = self.check(*PLACES)
            self.service().answer(said)
            if means in ("pass", "block", "change"):
                found = self.successResultOf(judging)
                self.assertEqual((found.verdict, found.texts), (means, CHANGED if means == "change" else None), said)
                self.assertNotIn(CANARY, repr(found))
            else:
                self.fails(judging, means)

    def test_what_comes_back_as_it_was_sent(self) -> None:
        """A service that parses and writes everything again changes nothing."""
        judging = self.check(*PLACES, offered=[OfferedTool("t", "", b'{"type": "object"}')])
        sent = self.service().asked
        tool = {"type": "function", "strict": None, **sent["tools"][0]}
        said = {"action": "NONE", "texts": TEXTS, "tools": [tool], "structured_messages": sent["structured_messages"]}
        self.service().answer(said)
        self.assertEqual(self.successResultOf(judging).verdict, "pass")

    def test_statuses(self) -> None:
        """Whatever the body says; a redirect is not followed."""
        for status, cause in STATUSES.items():
            self.begin(TOML)
            judging = self.check(*PLACES)
            service = self.service()
            service.answer(b"" if status == 304 else {"action": "NONE"}, status)
            self.fails(judging, cause)
            self.assertEqual(self.reactor.tcpClients, [])

    @settings(max_examples=examples(60), deadline=None)
    @given(st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.lists(each)))
    def test_any_body(self, said: Any) -> None:
        """No body but a verdict passes."""
        self.begin(TOML)
        judging = self.check(*PLACES)
        self.service().answer(said)
        self.fails(judging, "answer")

    @settings(max_examples=examples(60), deadline=None)
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "action": st.sampled_from(["NONE", "BLOCKED", "GUARDRAIL_INTERVENED", "none", "", None, 1]),
                "texts": st.none() | st.lists(st.text() | st.none(), max_size=4) | st.text(),
                "images": st.none() | st.lists(st.text(), max_size=2),
                "tools": st.none() | st.lists(st.dictionaries(st.text(), st.integers()), max_size=2),
                "structured_messages": st.none() | st.lists(st.text(), max_size=2),
                "more": st.text(),
            },
        ),
        st.sampled_from([200, 200, 200, 201, 302, 400, 401, 500]),
    )
    def test_any_verdict(self, said: dict[str, Any], status: int) -> None:
        """Passes only what says NONE, or gives back what it got; changes only by as many texts as there are."""
        self.begin(TOML)
        judging = self.check(*PLACES)
        self.service().answer(json.dumps(said).encode(), status)
        found: list[Any] = []
        judging.addBoth(found.append)
        (result,) = found
        if isinstance(result, Judgement):
            self.assertLess(status, 300)
            if result.verdict == "pass":
                self.assertIn(said["action"], ("NONE", "GUARDRAIL_INTERVENED"))
                self.assertIn(said.get("texts") or TEXTS, [TEXTS])
            elif result.verdict == "change":
                self.assertEqual(result.texts, said["texts"])
                self.assertEqual(len(said["texts"]), len(TEXTS))
            else:
                self.assertEqual(said["action"], "BLOCKED")
        else:
            result.trap(GuardFailed)


class Pieces(Checking):
    def test_a_large_question(self) -> None:
        """Its answer may be as large."""
        self.begin(TOML)
        large = "x" * 3_000_000
        judging: Deferred[Judgement] = self.check(place(large))
        self.service().answer({"action": "GUARDRAIL_INTERVENED", "texts": [large.replace("x", "y")]})
        self.assertEqual(self.successResultOf(judging).texts, ["y" * 3_000_000])

    def test_a_large_answer(self) -> None:
        """But not larger without end: nobody waits for the rest of it."""
        self.begin(TOML)
        judging = self.check(*PLACES)
        service = self.service()
        service.protocol.dataReceived(b"HTTP/1.1 200 X\r\ncontent-length: 9000000\r\n\r\n")
        for _ in range(20):
            service.protocol.dataReceived(b"x" * 100_000)
        self.fails(judging, "unavailable")
        self.assertTrue(service.transport.aborted)
