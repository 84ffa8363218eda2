"""What an access line has of a request, where the operator wants it."""

from __future__ import annotations

import json
from typing import Any

from llmedge.observe.access import access_line
from tests.fakes import CHAT, Edge, request
from tests.web.common import Answers

ALL = '[log]\nfields = ["user", "tags", "metadata"]\nheaders = ["x-team", "user-agent"]\n'
MESSAGES = CHAT | {"max_tokens": 9}
MOCK = '[providers.mock]\nvendor = "mock"\n'
TAGGED = f'{MOCK}[models.mock-model]\ntargets = [{{target = "mock/x", tags = ["eu", "zdr"]}}]\n'


class Lines(Answers):
    def line(self, toml: str, path: str, body: Any, **headers: str) -> dict[str, Any]:
        edge = Edge(toml + TAGGED)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        edge.wire().send(request(path=path, body=body, headers=named))
        (record,) = edge.records
        fields: dict[str, Any] = json.loads(access_line(record, 0.0))["fields"]
        return {name: fields[name] for name in ("user", "tags", "metadata", "headers") if name in fields}

    def test_each_dialect(self) -> None:
        """End users as each names them."""
        for path, body, user in (
            ("/v1/chat/completions", CHAT | {"user": "u-1"}, "u-1"),
            ("/v1/chat/completions", CHAT | {"safety_identifier": "u-2"}, "u-2"),
            ("/v1/responses", {"model": "mock-model", "input": "x", "user": "u-3"}, "u-3"),
            ("/v1/embeddings", {"model": "mock-model", "input": "x", "user": "u-4"}, "u-4"),
            ("/v1/messages", MESSAGES | {"metadata": {"user_id": "u-5"}}, "u-5"),
            ("/v1/images/generations", {"model": "mock-model", "prompt": "x", "user": "u-6"}, "u-6"),
        ):
            self.assertEqual(self.line('[log]\nfields = ["user"]\n', path, body), {"user": user}, path)

    def test_all_of_it(self) -> None:
        body = CHAT | {"metadata": {"team": "a", "run": "7"}, "user": "u"}
        found = self.line(ALL, "/v1/chat/completions", body, x_llmedge_tags="zdr, eu", x_team="red", x_other="no")
        self.assertEqual(
            found,
            {
                "user": "u",
                "tags": ["eu", "zdr"],
                "metadata": {"team": "a", "run": "7"},
                "headers": {"x-team": "red"},
            },
        )

    def test_nothing_by_default(self) -> None:
        body = CHAT | {"metadata": {"team": "a"}, "user": "u"}
        self.assertEqual(self.line("", "/v1/chat/completions", body, x_llmedge_tags="eu", user_agent="me"), {})

    def test_each_alone(self) -> None:
        body = CHAT | {"metadata": {"team": "a"}, "user": "u"}
        for toml, name in (
            ('fields = ["user"]', "user"),
            ('fields = ["tags"]', "tags"),
            ('fields = ["metadata"]', "metadata"),
            ('headers = ["user-agent"]', "headers"),
        ):
            found = self.line(f"[log]\n{toml}\n", "/v1/chat/completions", body, x_llmedge_tags="eu", user_agent="me")
            self.assertEqual(list(found), [name])

    def test_what_is_odd_or_large(self) -> None:
        """A vendor may judge it; the line has no more than is of use."""
        for fields, expected in (
            ({"user": 7, "metadata": [1]}, {}),
            ({"user": ""}, {}),
            ({"metadata": {"a": {"b": 1}, "c": None}}, {}),
            ({"user": "x" * 1000}, {"user": "x" * 256}),
            ({"metadata": {"k" * 300: "v" * 300, "n": 1}}, {"metadata": {"k" * 256: "v" * 256, "n": 1}}),
        ):
            self.assertEqual(self.line(ALL, "/v1/embeddings", {"model": "mock-model", "input": "x"} | fields), expected)
        many = self.line(ALL, "/v1/embeddings", {"model": "m", "metadata": {str(n): "v" for n in range(100)}})
        self.assertEqual(len(many["metadata"]), 32)
        long = self.line(ALL, "/v1/embeddings", {"model": "m"}, x_team="t" * 1000)
        self.assertEqual(long, {"headers": {"x-team": "t" * 256}})
