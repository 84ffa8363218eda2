"""Every client's dialect, every kind of vendor: who gets marks, who a key, who nothing."""

import json
from functools import cache
from itertools import product
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects.dialect import ClientDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import ValidationError
from llmedge.model import Account, Caller, Deadline, Target
from llmedge.operations import Operation
from llmedge.pipeline.warm import beginnings
from llmedge.providers.registry import OURS
from llmedge.providers.requests import Requests
from llmedge.record import Attempt, Record
from tests.fakes import settings, write_service_account

LONG = "be brief, " * 500
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "description": LONG}}}
CLIENTS: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [{"role": "system", "content": LONG}, {"role": "user", "content": "q"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    },
    "openai_responses": {
        "instructions": LONG,
        "input": "q",
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
    },
    "anthropic": {
        "max_tokens": 9,
        "system": LONG,
        "messages": [{"role": "user", "content": "q"}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": LONG}]},
        "contents": [{"role": "user", "parts": [{"text": "q"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
    },
    "openai_text": {"prompt": LONG},
}
MARK = {"cache_control": {"type": "ephemeral"}}
OWN: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": [{"type": "text", "text": LONG, **MARK}]}]},
    "anthropic": {"messages": [{"role": "user", "content": [{"type": "text", "text": LONG, **MARK}]}]},
}
VENDORS = {
    "anthropic": "claude-sonnet-4-5",
    "vertex": "claude-sonnet-4-5@20250929",
    "bedrock": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "nova": "amazon.nova-lite-v1:0",
    "llama": "meta.llama3-70b-instruct-v1:0",
    "openai": "gpt-5.6",
    "google": "gemini-3-pro",
    "groq": "llama-3.3-70b",
}
MARKS = {"anthropic": 3, "vertex": 3, "bedrock": 3, "nova": 2}
TOML = """
[providers.anthropic]
api_key = "k"
[providers.openai]
api_key = "k"
[providers.groq]
api_key = "k"
[providers.google]
vendor = "gemini"
api_key = "k"
[providers.bedrock]
region = "eu-central-1"
api_key = "k"
[providers.vertex]
location = "global"
credentials = "PATH"
"""


@cache
def requests(vendor: str, marking: bool) -> Requests:
    """Those of a provider as it is configured."""
    name = {"nova": "bedrock", "llama": "bedrock"}.get(vendor, vendor)
    provider = settings(TOML.replace("PATH", str(write_service_account()))).providers[name]
    spec = OURS[provider.vendor].spec(provider)
    made = Requests(name, spec.variants.get("claude-*", spec), Clock())
    if marking:
        made.mark()
    return made


def call(client: str, caller: str = "c", **more: Any) -> Call:
    fields = {
        name: msgspec.Raw(json.dumps(value).encode())
        for name, value in ({"model": "m"} | CLIENTS[client] | more).items()
    }
    record = Record("id", "POST", "/", "peer", 0.0)
    operation = Operation.TEXT if client == "openai_text" else Operation.CHAT
    who = Caller(caller, account=Account(team=caller))
    asked = Call(operation, client, "m", fields, False, False, 1, who, Deadline(Clock(), 30.0), record)
    asked.beginnings = beginnings(asked)
    return asked


def body(vendor: str, asked: Call, ttl: str = "5m", marking: bool = True) -> bytes:
    made = requests(vendor, marking)
    attempt = Attempt(Target(vendor, VENDORS[vendor], prompt_cache=ttl), 0.0)
    found = made.request_now(asked, attempt, made.translation(asked))
    assert found is not None
    return found.partition(b"\r\n\r\n")[2]


def marks(raw: bytes) -> int:
    return raw.count(b'"cache_control"') + raw.count(b'"cachePoint"')


class Vendors(SynchronousTestCase):
    def test_marks(self) -> None:
        """As many as the vendor is to have, whatever the client speaks; none where nobody wants any, and nothing is
        said to have been left out."""
        for client, vendor in product(CLIENTS, VENDORS):
            asked = call(client)
            expected = MARKS.get(vendor, 0)
            raw = body(vendor, asked)
            self.assertEqual(marks(raw), min(expected, 1) if client == "openai_text" else expected, (client, vendor))
            self.assertEqual(asked.record.facts, {}, (client, vendor))
            again = body(vendor, asked)
            self.assertEqual(again, raw, "a retry is marked as the first time")

    def test_an_hour(self) -> None:
        """Where the model has it."""
        for client, vendor in product(CLIENTS, MARKS):
            expected = marks(body(vendor, call(client))) if vendor != "nova" else 0
            self.assertEqual(body(vendor, call(client), "1h").count(b'"ttl":"1h"'), expected, (client, vendor))

    def test_the_callers_own_win(self) -> None:
        """There is theirs and no other."""
        for client, vendor in product(OWN, MARKS):
            self.assertEqual(marks(body(vendor, call(client, **OWN[client]))), 1, (client, vendor))

    def test_off(self) -> None:
        """The very bytes that are sent where no model has it."""
        for client, vendor in product(CLIENTS, VENDORS):
            self.assertEqual(
                body(vendor, call(client), ""), body(vendor, call(client), marking=False), (client, vendor)
            )

    def test_tokens_that_are_counted(self) -> None:
        """No mark is set on what is not to be answered."""
        asked = call("anthropic").changed(operation=Operation.COUNT_TOKENS)
        self.assertEqual(marks(body("anthropic", asked)), 0)

    def test_what_cannot_be_read(self) -> None:
        """Is refused as without marks."""
        asked = call("openai_chat", messages=[{"role": "cat", "content": "x"}])
        for marking in (True, False):
            error = self.assertRaises(ValidationError, body, "anthropic", asked, marking=marking)
            self.assertIn("messages[0].role", str(error))


class Keys(SynchronousTestCase):
    def key(self, client: str, **more: Any) -> Any:
        return json.loads(body("openai", call(client, **more))).get("prompt_cache_key")

    def test_who_gets_one(self) -> None:
        """OpenAI, in chats and responses, and nobody who is not known to take it."""
        for client, vendor in product(CLIENTS, VENDORS):
            raw = body(vendor, call(client))
            wanted = vendor == "openai" and client != "openai_text"
            self.assertEqual(b'"prompt_cache_key"' in raw, wanted, (client, vendor))

    def test_the_clients_own(self) -> None:
        for client in ("openai_chat", "openai_responses"):
            self.assertEqual(self.key(client, prompt_cache_key="mine"), "mine")

    def test_the_same_for_calls_that_begin_alike(self) -> None:
        """Of one tenant; of another, or with other tools, another. No longer than OpenAI takes."""
        chat = CLIENTS["openai_chat"]
        first = self.key("openai_chat")
        other = [chat["messages"][0], {"role": "user", "content": "something else"}]
        self.assertEqual(self.key("openai_chat", messages=other), first)
        self.assertLessEqual(len(first), 64)
        self.assertNotEqual(self.key("openai_chat", caller="d"), first)
        self.assertNotEqual(self.key("openai_chat", tools=[]), first)

    def test_not_of_what_is_short(self) -> None:
        self.assertIsNone(self.key("openai_chat", messages=[{"role": "user", "content": "q"}], tools=[]))


class Dialects(SynchronousTestCase):
    def test_all(self) -> None:
        """Each dialect of chats is in the tables above."""
        served = {name for name, each in DIALECTS.items() if isinstance(each, ClientDialect)}
        self.assertEqual(set(CLIENTS), served - {"bedrock"})
