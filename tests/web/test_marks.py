"""Marks of beta features, in the query and in headers."""

from __future__ import annotations

from typing import Any

from llmedge.call import NO_MARKS, Marks
from llmedge.web.marks import marks_of
from tests.web.through import Through

MESSAGES = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
RESPONSES = {"model": "m", "input": "x"}
GEMINI = {"contents": [{"parts": [{"text": "x"}]}]}
BETAS = {"anthropic-beta": "a-1,b-2"}
RESPONSES_BETA = {"openai-beta": "responses=experimental"}


def provider(kind: str) -> str:
    base = "http://127.0.0.1:9" if kind in ("anthropic", "gemini") else "http://127.0.0.1:9/v1"
    return f'[providers.v]\ndialect = "{kind}"\nbase_url = "{base}"\nmodels = ["*"]\n'


class Told(Through):
    def put(self, kind: str, path: str, body: Any, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        self.begin(toml=provider(kind))
        self.wire = self.ask(path, body, headers=headers)
        return self.vendor().head

    def test_within_one_dialect(self) -> None:
        """They go on as they came, and nothing else of query and headers does."""
        more = {"x-other": "1", "openai-organization": "o"}
        for kind, path, body, headers in (
            ("anthropic", "/v1/messages", MESSAGES, BETAS),
            ("anthropic", "/v1/messages", MESSAGES | {"stream": True}, BETAS),
            ("anthropic", "/v1/messages/count_tokens", MESSAGES | {"mcp_servers": []}, BETAS),
            ("openai", "/v1/chat/completions", CHAT, {"openai-beta": "x=1"}),
            ("openai_responses", "/v1/responses", RESPONSES, RESPONSES_BETA),
            ("openai", "/v1/embeddings", RESPONSES, RESPONSES_BETA),
        ):
            line, fields = self.put(kind, f"{path}?x=1&beta=true&key=k", body, headers | more)
            self.assertEqual(line, f"POST {path}?beta=true HTTP/1.1")
            for name, value in headers.items():
                self.assertEqual(fields[name], value)
            self.assertFalse({*more} & {*fields})

    def test_passed_through(self) -> None:
        self.begin()
        self.ask("/v1/moderations?beta=true", {"input": "x"}, headers=RESPONSES_BETA)
        line, fields = self.vendor().head
        self.assertEqual(line, "POST /v1/moderations?beta=true HTTP/1.1")
        self.assertEqual(fields["openai-beta"], "responses=experimental")

    def test_to_another_dialect(self) -> None:
        """They are left out, and the answer names them."""
        anthropics = "anthropic-beta, beta"
        for kind, path, body, headers, named, answer in (
            ("openai", "/v1/messages", MESSAGES, BETAS | {"anthropic-version": "2023-06-01"}, anthropics, OPENAIS),
            ("openai_responses", "/v1/chat/completions", CHAT, {"openai-beta": "x=1"}, "openai-beta, beta", RESPONSE),
            ("anthropic", "/v1/responses", RESPONSES, RESPONSES_BETA, "openai-beta, beta", MESSAGE),
            ("gemini", "/v1/embeddings", RESPONSES, RESPONSES_BETA, "openai-beta, beta", {"embeddings": []}),
        ):
            line, fields = self.put(kind, f"{path}?beta=true", body, headers)
            self.assertNotIn("beta=", line)
            self.assertFalse({"openai-beta", "anthropic-beta"} & {*fields})
            self.vendor().answer(200, answer)
            response = self.wire.response()
            self.assertEqual((response.status, response.headers["x-llmedge-dropped"]), (200, named), kind)

    def test_of_the_one_that_answers(self) -> None:
        """What another target could not be told is not said of one that could."""
        targets = 'targets = ["o/x", "a/y"]\nstrategy = "priority"\n'
        self.begin(
            toml='[providers.o]\nbase_url = "http://127.0.0.1:9/v1"\n[providers.a]\ndialect = "anthropic"\n'
            f'base_url = "http://127.0.0.1:8"\n[models.m]\n{targets}'
        )
        wire = self.ask("/v1/messages?beta=true", MESSAGES)
        self.vendor().answer(500, {})
        self.vendor().answer(200, MESSAGE)
        response = wire.response()
        self.assertEqual((response.status, response.headers["x-llmedge-provider"]), (200, "a"))
        self.assertNotIn("x-llmedge-dropped", response.headers)

    def test_what_is_a_mark(self) -> None:
        for dialect, table, target, marks in (
            ("anthropic", {}, b"/v1/messages", NO_MARKS),
            ("gemini", {b"Openai-Beta": [b"x"]}, b"/v1beta/models/m:generateContent?beta=true", NO_MARKS),
            ("anthropic", {}, b"/v1/messages?beta=a%20b", NO_MARKS),
            ("anthropic", {}, b"/v1/messages?xbeta=true&beta=" + b"t" * 65, NO_MARKS),
            ("anthropic", {b"Anthropic-Beta": [b"\xff"]}, b"/v1/messages", NO_MARKS),
            ("anthropic", {b"Anthropic-Version": [b"1"]}, b"/", Marks((("anthropic-version", "1"),))),
            ("anthropic", {}, b"/v1/messages?a=1&beta=true&b", Marks((), "beta=true", ("beta",))),
            (
                "anthropic",
                {b"Anthropic-Beta": [b"a", b"b"], b"Openai-Beta": [b"x"]},
                b"/",
                Marks((("anthropic-beta", "a,b"),), "", ("anthropic-beta",)),
            ),
        ):
            self.assertEqual(marks_of(dialect, table, target), marks, (table, target))


OPENAIS = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
}
MESSAGE = {
    "id": "g",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "x"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "g",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "x", "annotations": []}],
        }
    ],
}
