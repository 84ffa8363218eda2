"""Tools, the choice among them and their names, as vendors take them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.limits import LIMITS
from llmedge.dialects import ir
from llmedge.dialects.fitting.tools import fit_tools, names_for
from llmedge.errors import Unsupported
from tests.dialects.fitting.common import VENDORS, body, call, context, dialect_of, result, say, user

SHUT = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
OPEN = b'{"type":"object","properties":{"a":{"type":"string"}}}'


def fit(vendor: str, request: ir.Request, mode: str = "hints", **limits: Any) -> tuple[ir.Request, list[str]]:
    target = context(vendor, mode, **limits)
    return fit_tools(request, target, dialect_of(vendor).needs), target.dropped


class Choices(SynchronousTestCase):
    def test_among_none(self) -> None:
        """Says nothing, but for one that has to be called."""
        for vendor in VENDORS:
            for choice in (ir.ToolChoice("auto"), ir.ToolChoice("none")):
                request, dropped = fit(vendor, user(tool_choice=choice, parallel_tools=False), "refuse")
                self.assertEqual((request.tool_choice, request.parallel_tools, dropped), (None, None, []))
            for choice in (ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))):
                error = self.assertRaises(Unsupported, fit, vendor, user(tool_choice=choice))
                self.assertEqual(error.param, "tool_choice")
                self.assertIs(fit(vendor, user(tool_choice=choice), "drop")[0].tool_choice, None)

    def test_among_some(self) -> None:
        """Who has no word for it is offered these alone."""
        tools = (ir.Tool("f", schema=SHUT), ir.Tool("g", schema=SHUT), ir.Tool("h", schema=SHUT))
        for vendor in ("anthropic", "bedrock"):
            said, _ = fit(vendor, user(tools=tools, tool_choice=ir.ToolChoice("auto", ("f", "h"))))
            self.assertEqual([tool.name for tool in said.tools], ["f", "h"])
            self.assertEqual(said.tool_choice, ir.ToolChoice("auto"))
            said, _ = fit(vendor, user(tools=tools, tool_choice=ir.ToolChoice("required", ("g",))))
            self.assertEqual((len(said.tools), said.tool_choice), (3, ir.ToolChoice("named", ("g",))))

    def test_among_some_in_chats(self) -> None:
        """OpenAI's own have a word for it."""
        tools = tuple(ir.Tool(name, schema=SHUT) for name in "fgh")
        request = user(tools=tools, tool_choice=ir.ToolChoice("required", ("f", "h")))
        said = body("openai_chat", request, None, "allowed_tools")
        self.assertEqual((len(said["tools"]), said["tool_choice"]["type"]), (3, "allowed_tools"))
        said = body("openai_chat", request)
        self.assertEqual([tool["function"]["name"] for tool in said["tools"]], ["f", "h"])
        self.assertEqual(said["tool_choice"], "required")

    def test_tools_of_the_history(self) -> None:
        """Bedrock wants them offered."""
        request = ir.Request(
            (*user().messages, say("assistant", call("a"), call("b", "g")), say("tool", result("a"), result("b")))
        )
        said = body("bedrock", request)
        self.assertEqual([each["toolSpec"]["name"] for each in said["toolConfig"]["tools"]], ["f", "g"])
        for vendor in ("openai_chat", "anthropic", "gemini"):
            self.assertNotIn("tools", body(vendor, request))

    def test_said_twice(self) -> None:
        """Once will do; a description of white space is none."""
        tool = ir.Tool("f", "d", SHUT)
        for vendor in VENDORS:
            request, dropped = fit(vendor, user(tools=(tool, ir.Tool("g", " ", SHUT), tool)), "refuse")
            self.assertEqual((request.tools, dropped), ((tool, ir.Tool("g", "", SHUT)), []))

    def test_too_many(self) -> None:
        """128 at OpenAI."""
        tools = tuple(ir.Tool(f"f{number}") for number in range(129))
        error = self.assertRaises(Unsupported, fit, "openai_chat", user(tools=tools), tools=128)
        self.assertEqual((error.status, error.param), (400, "tools"))
        said, dropped = fit("openai_chat", user(tools=tools), "drop", tools=128)
        self.assertEqual((len(said.tools), dropped), (128, ["tools"]))
        self.assertEqual(len(fit("openai_chat", user(tools=tools))[0].tools), 129)


class Schemas(SynchronousTestCase):
    def test_none(self) -> None:
        """A tool without arguments is an object without properties, where one has to be said."""
        for vendor in VENDORS:
            (tool,) = fit(vendor, user(tools=(ir.Tool("f"),)))[0].tools
            needed = "schema_required" in dialect_of(vendor).needs
            self.assertEqual(tool.schema, b'{"type":"object","properties":{}}' if needed else b"")

    def test_strict(self) -> None:
        """Only where the schema lets it, and named where not; Gemini has a mode for all."""
        for vendor in VENDORS:
            for schema, strict in ((SHUT, True), (OPEN, vendor == "gemini")):
                tools = (ir.Tool("f", schema=schema, strict=True),)
                said, dropped = fit(vendor, user(tools=tools))
                self.assertEqual((bool(said.tools[0].strict), dropped), (strict, [] if strict else ["strict"]), vendor)
                self.assertEqual(said.tools[0].schema, schema)
                self.assertEqual(fit(vendor, user(tools=(ir.Tool("f", schema=schema),)), "refuse")[1], [])

    def test_a_tool_that_cannot_be_said(self) -> None:
        """Anthropic's pattern of arguments' names: refused by the tool's name, dropped with the choice of it."""
        odd = ir.Tool("f", schema=b'{"type":"object","properties":{"$filter":{"type":"string"}}}')
        request = user(tools=(odd, ir.Tool("g", schema=SHUT)), tool_choice=ir.ToolChoice("named", ("f",)))
        for vendor in ("anthropic", "bedrock"):
            error = self.assertRaises(Unsupported, fit, vendor, request)
            self.assertIn("$filter", error.message)
            self.assertEqual(error.param, "tools (f) (tool schema)")
            said, dropped = fit(vendor, request, "drop")
            self.assertEqual(([tool.name for tool in said.tools], said.tool_choice), (["g"], None))
            self.assertEqual(dropped, ["tools (f) (tool schema)"])
        self.assertEqual(fit("openai_chat", request)[0].tools, request.tools)
        for schema in (b'{"type":"array","items":{"type":"string"}}', b'{"type":"string"}'):
            for vendor in VENDORS:
                error = self.assertRaises(Unsupported, fit, vendor, user(tools=(ir.Tool("f", schema=schema),)))
                self.assertIn("arguments are an object", error.message)


class Names(SynchronousTestCase):
    def test_patterns(self) -> None:
        for vendor, fine, odd in (
            ("openai_chat", ["f", "a-b_c", "x" * 64], ["a.b", "x" * 65, "é", "a b", ""]),
            ("anthropic", ["x" * 128], ["x" * 129, "a.b"]),
            ("gemini", ["a.b", "a:b", "_x"], ["1a", "-a", "x" * 65]),
            ("bedrock", ["1a"], ["a.b", "x" * 65]),
        ):
            pattern = LIMITS[vendor].tool_name
            self.assertEqual(names_for(fine, pattern), {})
            made = names_for(odd, pattern)
            self.assertEqual(list(made), odd)
            self.assertEqual(names_for(made.values(), pattern), {})
            self.assertEqual(len(set(made.values())), len(odd))

    def test_names_that_begin_alike(self) -> None:
        """Stay two, everywhere: in the tools, the choice, the history."""
        one, other = "x" * 70 + "a", "x" * 70 + "b"
        request = ir.Request(
            (
                *user().messages,
                say("assistant", call("1", one), call("2", other)),
                say("tool", result("1", "r"), result("2", "s")),
            ),
            (ir.Tool(one, schema=SHUT), ir.Tool(other, schema=SHUT)),
            tool_choice=ir.ToolChoice("named", (other,)),
        )
        for vendor in ("openai_chat", "openai_responses", "gemini", "bedrock"):
            names = names_for([one, other], LIMITS[vendor].tool_name)
            said = json.dumps(body(vendor, request))
            self.assertNotIn("x" * 70, said)
            self.assertEqual(
                (said.count(names[one]), said.count(names[other])), (3, 4) if vendor == "gemini" else (2, 3), vendor
            )
