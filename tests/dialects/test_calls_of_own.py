"""Tools that OpenAI's clients know otherwise than as functions, called by every vendor, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects.custom_tools import arguments_of
from llmedge.model import Target
from tests.dialects.matrix import cases
from tests.dialects.test_matrix import MODELS, SAYS, VENDORS, ask, read, sent, translation_of

PATCH = '*** Begin Patch\n+"Łódź" 🌦\n*** End Patch'
LONG = "edit" + "_files" * 12
"""A name that vendors do not take."""

Item = dict[str, Any]
TOOLS: list[tuple[str, Item, str, str, Item]] = [
    (
        "openai_chat",
        {"type": "custom", "custom": {"name": LONG}},
        LONG,
        arguments_of(PATCH),
        {"type": "custom", "custom": {"name": LONG, "input": PATCH}},
    ),
    (
        "openai_responses",
        {"type": "custom", "name": LONG},
        LONG,
        arguments_of(PATCH),
        {"type": "custom_tool_call", "name": LONG, "input": PATCH},
    ),
    (
        "openai_responses",
        {"type": "namespace", "name": "agents", "description": "", "tools": [{"type": "function", "name": LONG}]},
        f"agents__{LONG}",
        '{"a":1}',
        {"type": "function_call", "namespace": "agents", "name": LONG, "arguments": '{"a":1}'},
    ),
    (
        "openai_responses",
        {"type": "apply_patch"},
        "apply_patch",
        '{"type":"delete_file","path":"a"}',
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
    ),
]
"""A client, its tool, the tool's name as a function, arguments a model gives it, and the call as the client gets it."""


def asked(client: str, tool: Item, stream: bool) -> tuple[Call, Item]:
    call, _, request = ask(client, "plain", stream)
    request = {**request, "tools": [tool]}
    return call.changed(fields=msgspec.json.decode(cases.dump(request), type=dict[str, msgspec.Raw])), request


def name_at(vendor: str, call: Call) -> str:
    """What the vendor is told the tool is called."""
    body = json.loads(translation_of(call.dialect, vendor).body(call, Target("v", MODELS[vendor]), "refuse"))
    return str(find(body["toolConfig" if vendor == "bedrock" else "tools"], "name"))


def find(value: Any, name: str) -> Any:
    """The first value of that name, however deep."""
    if isinstance(value, dict) and name in value:
        return value[name]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for each in inner if (found := find(each, name)) is not None), None)


def calls_in(client: str, stream: bool, data: bytes) -> list[Item]:
    """The calls a client reads in an answer."""
    if client == "openai_responses":
        whole = cases.unsse(data)[-1][1]["response"] if stream else json.loads(data)
        return [item for item in whole["output"] if item["type"].endswith("_call")]
    if not stream:
        return list(json.loads(data)["choices"][0]["message"]["tool_calls"])
    pieces = [
        piece
        for _, chunk in cases.unsse(data)[:-1]
        for choice in chunk["choices"]
        for piece in choice["delta"].get("tool_calls", ())
    ]
    text = "".join(piece["custom"]["input"] for piece in pieces)
    return [{**pieces[0], "custom": {**pieces[0]["custom"], "input": text}}]


class Called(SynchronousTestCase):
    maxDiff = None

    def test_by_every_vendor(self) -> None:
        """The client gets the call of its own tool, by its own name, with what the model gave it."""
        renamed = False
        for client, tool, name, arguments, wanted in TOOLS:
            for vendor in VENDORS:
                for stream in (False, True) if vendor != client else ():
                    with self.subTest(f"{client} ← {vendor}, {name}, {stream}"):
                        call, request = asked(client, tool, stream)
                        called = name_at(vendor, call)
                        renamed |= called != name
                        told = cases.told(vendor, "tool", stream)
                        pieces = (arguments[:5], arguments[5:]) if stream and vendor != "gemini" else (arguments,)
                        told = attrs.evolve(told, parts=(("call", ("call_1", called, pieces)),))
                        translation = translation_of(client, vendor)
                        if stream:
                            data = sent(vendor, SAYS[vendor].stream(told, request, False))
                            answer, _ = read(translation, call, data, 7)
                        else:
                            raw = cases.dump(SAYS[vendor].answer(told, request)).encode()
                            answer = translation.answer(raw, call, Target("v", "m"), cases.NOW).body
                        (found,) = calls_in(client, stream, answer)
                        if "arguments" in wanted:
                            found = {**found, "arguments": found["arguments"].replace(" ", "")}
                        self.assertEqual({**found, **wanted}, found)
        self.assertTrue(renamed)
