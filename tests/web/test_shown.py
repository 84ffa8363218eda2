"""Headers that pass by an operator's choice, and why attempts were in vain."""

from __future__ import annotations

from typing import Any

from tests.fakes import CHAT
from tests.web.test_multipart import FILE, MODEL, TYPE, body
from tests.web.through import TWO, Through

ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [], "usage": None}
VENDORS = (
    b"x-request-id: req-v\r\nopenai-version: 2020\r\nx-ratelimit-remaining-tokens: 7\r\n"
    b"x-ratelimit-remaining-requests: 8\r\nset-cookie: a=b\r\nopenai-processing-ms: vendor-key 5\r\nx-other: \xe9\r\n"
)


def provider(more: str) -> str:
    return f'[providers.v]\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "vendor-key"\nmodels = ["*"]\n{more}\n'


class PassedOn(Through):
    CHOSEN = provider('client_headers = ["x-team", "openai-project", "x-fixed"]\nheaders = { x-fixed = "ours" }')
    HEADERS = {"x-team": "red", "openai-project": "p-1", "x-fixed": "theirs", "x-other": "no", "cookie": "c"}

    def sent(self, path: str, body: Any, toml: str, **headers: str) -> dict[str, str]:
        self.begin(toml=toml)
        self.ask(path, body, headers=self.HEADERS | headers)
        return self.vendor().head[1]

    def test_by_name(self) -> None:
        """With each operation, beside what the gateway and the operator say themselves; nothing else."""
        for path, sent, more in (
            ("/v1/chat/completions", CHAT, {}),
            ("/v1/messages", CHAT | {"max_tokens": 9}, {}),
            ("/v1/moderations", {"model": "m", "input": "x"}, {}),
            ("/v1/audio/transcriptions", body(MODEL + b"m", FILE + b"x"), {"content-type": TYPE}),
        ):
            fields = self.sent(path, sent, self.CHOSEN, **more)
            self.assertEqual(
                (fields["x-team"], fields["openai-project"], fields["x-fixed"]), ("red", "p-1", "ours"), path
            )
            self.assertFalse({"x-other", "cookie"} & set(fields))
            self.assertEqual(fields["authorization"], "Bearer vendor-key")
            self.assertFalse({"x-team", "openai-project"} & set(self.sent(path, sent, provider(""), **more)))

    def test_the_next_client(self) -> None:
        """What one said is not what the next one says."""
        self.begin(toml=self.CHOSEN)
        for team in ("red", None, "blue"):
            headers = {} if team is None else {"x-team": team}
            wire = self.ask("/v1/chat/completions", CHAT, headers=headers)
            vendor = self.vendor()
            self.assertEqual(vendor.head[1].get("x-team"), team)
            vendor.answer(200, ANSWER)
            self.assertEqual(wire.response().status, 200)

    def test_what_cannot_be_sent(self) -> None:
        for value in ("\xe9", "x" * 2000, ""):
            self.assertNotIn("x-team", self.sent("/v1/chat/completions", CHAT, self.CHOSEN, **{"x-team": value}))


class Shown(Through):
    def answer(self, toml: str, status: int = 200, origin: str = "") -> dict[str, str]:
        self.begin(toml=toml)
        wire = self.ask("/v1/chat/completions", CHAT, headers={"origin": origin} if origin else {})
        document = b'{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[]}'
        head = b"HTTP/1.1 %d X\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
            status,
            VENDORS,
            len(document),
        )
        self.vendor().say(head + document)
        response = wire.response()
        self.assertEqual(response.status, status)
        return response.headers

    def test_by_name(self) -> None:
        """With answers and with refusals. What means something here has a name of its own; no secret goes out."""
        chosen = provider('show_headers = ["x-request-id", "openai-*", "x-ratelimit-*", "s*", "x-other"]')
        for status in (200, 400, 429):
            headers = self.answer(chosen, status)
            self.assertEqual(headers["x-llmedge-vendor-x-request-id"], "req-v")
            self.assertTrue(headers["x-request-id"].startswith("req_"))
            self.assertEqual((headers["openai-version"], headers["x-other"]), ("2020", "?"))
            self.assertEqual(headers["openai-processing-ms"], "*** 5")
            self.assertEqual(headers["x-ratelimit-remaining-tokens"], "7")
            self.assertEqual(headers["x-llmedge-vendor-x-ratelimit-remaining-requests"], "8")
            self.assertEqual(headers["x-ratelimit-remaining-requests"], "99")
            self.assertNotIn("set-cookie", headers)

    def test_nothing_by_default(self) -> None:
        for status in (200, 400):
            headers = self.answer(provider(""), status)
            self.assertFalse([name for name in headers if name.startswith(("openai", "x-llmedge-vendor", "x-other"))])

    def test_to_web_pages(self) -> None:
        """A page may read what it is shown."""
        chosen = provider('show_headers = ["x-request-id", "openai-version"]') + '[cors]\norigins = ["*"]\n'
        exposed = self.answer(chosen, origin="https://a.example")["access-control-expose-headers"].split(", ")
        self.assertTrue({"x-llmedge-vendor-x-request-id", "openai-version", "x-llmedge-causes"} <= set(exposed))


class Causes(Through):
    def ask_two(self, server: str, *statuses: int) -> dict[str, str]:
        self.begin(f"[server]\n{server}\n", TWO)
        wire = self.ask("/v1/chat/completions", CHAT | {"model": "m"})
        for status in statuses:
            self.vendor().answer(status, ANSWER if status == 200 else {"error": {"message": "no"}})
        return wire.response().headers

    def test_why_it_went_elsewhere(self) -> None:
        """Where the operator wants it told: with answers, and with errors."""
        self.assertEqual(self.ask_two("show_causes = true", 500, 200)["x-llmedge-causes"], "v/x=status_500")
        both = self.ask_two("show_causes = true", 500, 503)["x-llmedge-causes"]
        self.assertEqual(both, "v/x=status_500, w/y=status_503")
        self.assertNotIn("x-llmedge-causes", self.ask_two("show_causes = true", 200))
        self.assertNotIn("x-llmedge-causes", self.ask_two("", 500, 200))
