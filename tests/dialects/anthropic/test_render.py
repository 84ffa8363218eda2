"""What a vendor of the Messages dialect is asked."""

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    Unsupported,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
)

CLAUDE = Anthropic()
ALL = frozenset({"system_messages"})


def render(request: ir.Request, drop: bool = False, quirks: frozenset[str] = frozenset()) -> tuple[Any, list[str]]:
    context = RenderContext({}, "drop" if drop else "refuse")
    return json.loads(CLAUDE.render(request, "m", context, stream=False, quirks=quirks)), context.dropped


def asked(*parts: ir.Part, role: ir.Role = "user", **fields: Any) -> ir.Request:
    return ir.Request((ir.Message(role, parts, at="messages[0]"),), max_tokens=9, **fields)


class Rendering(SynchronousTestCase):
    def test_a_request(self) -> None:
        request = ir.Request(
            messages=(
                ir.Message("system", (ir.Text("s"),)),
                ir.Message("developer", (ir.Text("d", cache="5m"),)),
                ir.Message("user", (ir.Text("hi"), ir.Image(ir.Source("url", "https://x")))),
                ir.Message("assistant", (ir.Text("ok"), ir.ToolCall("t", "f", '{"a": 1}'))),
                ir.Message("tool", (ir.ToolResult("t", (ir.Text("r"),), name="f", cache="1h"),)),
                ir.Message("user", (ir.Text("more"),)),
                ir.Message("assistant", (ir.Text("So"),)),
            ),
            tools=(ir.Tool("f"), ir.Tool("g", schema=b'{"type":"object","x":1.0}')),
            parallel_tools=False,
            output=ir.Output("json_schema", b"{}", name="ignored", strict=True),
            user="u",
            stop=("x",),
            temperature=1,
        )
        said, _ = render(request)
        self.assertEqual(
            said,
            {
                "model": "m",
                "max_tokens": 4096,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "hi"},
                            {"type": "image", "source": {"type": "url", "url": "https://x"}},
                        ],
                    },
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "text", "text": "ok"},
                            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t",
                                "content": "r",
                                "cache_control": {"type": "ephemeral", "ttl": "1h"},
                            },
                            {"type": "text", "text": "more"},
                        ],
                    },
                    {"role": "assistant", "content": "So"},
                ],
                "system": [
                    {"type": "text", "text": "s"},
                    {"type": "text", "text": "d", "cache_control": {"type": "ephemeral"}},
                ],
                "tools": [
                    {"name": "f", "input_schema": {"type": "object", "properties": {}}},
                    {"name": "g", "input_schema": {"type": "object", "x": 1.0}},
                ],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
                "stop_sequences": ["x"],
                "temperature": 1,
                "metadata": {"user_id": "u"},
            },
        )

    def test_how_much_to_think(self) -> None:
        """Efforts become budgets on the published scale, which fit below max_tokens."""

        def thinking(reasoning: ir.Reasoning, most: int | None = None, *quirks: str) -> Any:
            request = ir.Request((), reasoning=reasoning, max_tokens=most)
            said, _ = render(request, quirks=frozenset(quirks))
            return said.get("thinking"), said.get("output_config"), said["max_tokens"]

        def budget(tokens: int) -> dict[str, Any]:
            return {"type": "enabled", "budget_tokens": tokens}

        effort = ir.Reasoning(effort="low")
        adaptive = {"type": "adaptive"}
        off = {"type": "disabled"}
        for reasoning, most, quirks, expected in (
            (effort, None, (), (budget(1024), None, 5120)),
            (ir.Reasoning(effort="high"), None, (), (budget(24576), None, 28672)),
            (ir.Reasoning(effort="medium"), 5000, (), (budget(4999), None, 5000)),
            (ir.Reasoning(budget=10), 5000, (), (budget(1024), None, 5000)),
            (ir.Reasoning(effort="none"), 9, (), (off, None, 9)),
            (ir.Reasoning(budget=0), 9, (), (off, None, 9)),
            (ir.Reasoning(False, "low"), 9, (), (off, {"effort": "low"}, 9)),
            (ir.Reasoning(True), 9999, (), (budget(8192), None, 9999)),
            (ir.Reasoning(budget=-1), 9, (), (adaptive, None, 9)),
            (ir.Reasoning(effort="max"), 9, (), (adaptive, {"effort": "max"}, 9)),
            (ir.Reasoning(True, "low", 2000, True), 9999, (), (budget(2000) | {"display": "summarized"},)),
            (effort, 9, ("adaptive_thinking",), (adaptive, {"effort": "low"}, 9)),
            (ir.Reasoning(True, "", 8000), 9, ("adaptive_thinking",), (adaptive, {"effort": "medium"}, 9)),
        ):
            said = thinking(reasoning, most, *quirks)
            self.assertEqual(said[: len(expected)], expected, reasoning)
        error = self.assertRaises(Unsupported, thinking, effort, 1024)
        self.assertEqual(error.param, "reasoning")
        shown = ir.Request((), reasoning=ir.Reasoning(show=True), max_tokens=9)  # where nobody asked for thoughts
        said, dropped = render(shown, drop=True)
        self.assertEqual((said.get("thinking"), said.get("output_config"), said["max_tokens"]), (None, None, 9))
        self.assertEqual(dropped, ["reasoning.show"])

    def test_what_cannot_be_said(self) -> None:
        """Each is refused by name, and dropped where that is allowed."""
        at = "messages[0]"
        cited = ir.Text("x", (ir.Citation("url", url="https://x"),))
        for request, name in (
            (asked(n=2), "n"),
            (asked(seed=1), "seed"),
            (asked(presence_penalty=1.0), "presence_penalty"),
            (asked(frequency_penalty=1.0), "frequency_penalty"),
            (asked(logit_bias=b'{"1":1}'), "logit_bias"),
            (asked(logprobs=True), "logprobs"),
            (asked(metadata=(("a", "b"),)), "metadata"),
            (asked(store=True), "store"),
            (asked(verbosity="low"), "verbosity"),
            (asked(service_tier="flex"), "service_tier"),
            (asked(temperature=1.5), "temperature"),
            (asked(output=ir.Output("json")), "output"),
            (asked(output=ir.Output("json_schema", b'{"description":""}', description="d")), "output.description"),
            (asked(tool_choice=ir.ToolChoice("required")), "tool_choice"),
            (asked(extra=("x.y",)), "x.y"),
            (asked(ir.Audio(ir.Source("base64", "a", "audio/wav"))), f"{at} (audio)"),
            (asked(ir.Image(ir.Source("base64", "a", "image/tiff"))), f"{at} (image)"),
            (asked(ir.Image(ir.Source("url", "https://x"), "low")), "detail"),
            (asked(ir.File(ir.Source("base64", "a", "application/zip"))), f"{at} (file)"),
            (asked(ir.File(ir.Source("url", "gs://x"))), f"{at} (file)"),
            (asked(ir.Thinking("x"), role="assistant"), "thinking"),
            (asked(ir.Thinking("", "s", True, "rs_1"), role="assistant"), "thinking"),
            (asked(ir.ToolCall("a", "f", "{}", "sig"), role="assistant"), "signature"),
            (asked(cited, role="assistant"), "citations"),
            (asked(ir.Text("x", (ir.Citation("char"),))), "citations"),
            (asked(ir.Image(ir.Source("url", "https://x")), role="assistant"), f"{at} (image)"),
            (ir.Request((ir.Message("user", (), "bob", at),)), "name"),
        ):
            self.assertEqual(self.assertRaises(Unsupported, render, request).param, name)
            self.assertEqual(render(request, drop=True)[1], [name])
        said, _ = render(asked(ir.ToolCall("a", "f", "{"), role="assistant"))
        self.assertEqual(said["messages"][1]["content"][0]["input"], {"invalid_arguments": "{"})

    def test_a_system_message_in_the_middle(self) -> None:
        """Where the model has no place for it, it stands there as the user's."""
        request = ir.Request(
            (
                ir.Message("system", (ir.Text("a"),), at="messages[0]"),
                ir.Message("user", (ir.Text("b"),), at="messages[1]"),
                ir.Message("system", (ir.Text("c"),), at="messages[2]"),
                ir.Message("user", (ir.Text("d"),), at="messages[3]"),
            )
        )
        said, _ = render(request)
        self.assertEqual(said["system"], "a")
        self.assertEqual([each["content"] for each in said["messages"]], ["b", "<system>\nc\n</system>", "d"])
        self.assertEqual({each["role"] for each in said["messages"]}, {"user"})
        said, _ = render(request, quirks=ALL)
        self.assertEqual((said["system"], said["messages"][1]), ("a", {"role": "system", "content": "c"}))

    def test_models_that_take_no_sampling(self) -> None:
        """What such a model refuses is refused here, or dropped where that is wished."""
        quirks = frozenset({"no_sampling"})
        for name in ("temperature", "top_p", "top_k"):
            request = asked(**{name: 0.5})
            self.assertEqual(self.assertRaises(Unsupported, render, request, quirks=quirks).param, name)
            self.assertNotIn(name, render(request, drop=True, quirks=quirks)[0])
        self.assertEqual(render(asked(top_p=1), quirks=quirks), render(asked(), quirks=quirks))

    def test_text_files(self) -> None:
        """A text sent as base64 is said as the text it is."""
        said, _ = render(asked(ir.File(ir.Source("base64", "aMOp", "text/csv"), "n")))
        source = {"type": "text", "media_type": "text/plain", "data": "hé"}
        self.assertEqual(said["messages"][0]["content"], [{"type": "document", "source": source, "title": "n"}])

    def test_counting(self) -> None:
        """A request to count says only what counts, and a count is a whole number."""
        raw = b'{"model":"m","messages":[{"role":"user","content":"x"}],"system":"s"}'
        fields = CLAUDE.parse_count_request(raw).fields
        request = CLAUDE.parse(fields)
        said = CLAUDE.render_count(msgspec.structs.replace(request, stop=("x",)), "n", RenderContext({}, "refuse"))
        self.assertEqual(
            json.loads(said), {"model": "n", "system": "s", "messages": [{"role": "user", "content": "x"}]}
        )
        self.assertEqual(CLAUDE.parse_count(CLAUDE.render_count_answer(7)), 7)
        self.assertEqual(CLAUDE.render_count_answer(7), b'{"input_tokens":7}')
        for wrong in (b"", b"{}", b'{"input_tokens":"7"}', b'{"input_tokens":-1}'):
            self.assertRaises(UpstreamMalformed, CLAUDE.parse_count, wrong)
        self.assertRaises(VendorFailed, CLAUDE.parse_count, b'{"type":"error","error":{"message":"x"}}')
        bare = CLAUDE.parse_count_request(b'{"model":"m"}').fields
        error = self.assertRaises(ValidationError, CLAUDE.check, bare, counts=True)
        self.assertEqual(error.param, "messages")
