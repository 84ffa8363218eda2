"""Marks in a Messages request that is passed on."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.prompt_caches import PromptCache
from llmedge.dialects import ir
from llmedge.dialects.anthropic.marks import set_marks
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from tests.dialects import strategies
from tests.effort import examples

MODERATE = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])

SHORT, LONG = "be brief", "be brief, " * 500
MARK = {"type": "ephemeral"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CACHE = PromptCache(1024)


def raw(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}


def marked(ttl: str = "5m", cache: PromptCache = CACHE, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(set_marks(raw(**fields), cache, ttl)))
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def bare(request: ir.Request) -> ir.Request:
    """Without marks."""

    def plain(each: Any) -> Any:
        if isinstance(each, ir.ToolResult):
            each = ir.replace(each, content=tuple(map(plain, each.content)))
        return ir.replace(each, cache="") if hasattr(each, "cache") else each

    messages = tuple(ir.replace(each, parts=tuple(map(plain, each.parts))) for each in request.messages)
    return ir.replace(request, messages=messages, tools=tuple(map(plain, request.tools)))


class Marks(SynchronousTestCase):
    def test_where(self) -> None:
        """Behind the tools, the system prompt and the user's last turn; a text becomes a block that can have one."""
        tools = [TOOL, TOOL | {"name": "g", "description": LONG}]
        turns = [user("hi"), {"role": "assistant", "content": "ho"}, user("and?")]
        found = marked(model="m", tools=tools, system=LONG, messages=turns)
        self.assertEqual(found["tools"], [TOOL, tools[1] | {"cache_control": MARK}])
        self.assertEqual(found["system"], [text(LONG, cache_control=MARK)])
        self.assertEqual(found["messages"], [*turns[:2], user([text("and?", cache_control=MARK)])])
        self.assertEqual(found["model"], "m")

    def test_an_hour(self) -> None:
        found = marked("1h", system=LONG, messages=[user("hi")])
        self.assertEqual(found["system"][0]["cache_control"], MARK | {"ttl": "1h"})
        found = marked("1h", PromptCache(1024, hour=False), system=LONG, messages=[user("hi")])
        self.assertEqual(found["system"][0]["cache_control"], MARK)

    def test_not_under_the_least(self) -> None:
        """Only from where on what came before is long enough, texts counted, not pictures; one byte decides."""
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9999}}
        just = "x" * (4096 - 2 - len('"text"'))
        for case, fields, where in (
            ("all too short", {"tools": [TOOL], "system": SHORT, "messages": [user("hi")]}, ""),
            ("a picture", {"messages": [user([picture, text("what?")])]}, ""),
            ("the last turn", {"tools": [TOOL], "system": SHORT, "messages": [user(LONG)]}, "messages"),
            ("an earlier turn", {"messages": [user([text(LONG)]), user("hi")]}, "messages"),
            ("from system on", {"tools": [TOOL], "system": LONG, "messages": [user("hi")]}, "system messages"),
            ("just", {"messages": [user([text(just)])]}, "messages"),
            ("just not", {"messages": [user([text(just[1:])])]}, ""),
        ):
            found = marked(**fields)  # type: ignore[arg-type]
            self.assertEqual(
                [name for name in fields if "cache_control" in json.dumps(found[name])], where.split(), case
            )

    def test_the_callers_own_win(self) -> None:
        """Wherever they stand nothing is added, and every byte stays; a property of that name is none."""
        own = {"cache_control": MARK}
        result = {"type": "tool_result", "tool_use_id": "a", "content": [text("r", **own)]}
        base = {"tools": [TOOL], "system": LONG, "messages": [user("hi")]}
        for more in (
            own,
            {"tools": [TOOL | own]},
            {"system": [text(LONG, **own), text("x")]},
            {"messages": [user([text("hi", **own)]), user("x")]},
            {"messages": [user([result])]},
        ):
            fields = raw(**base | more)
            self.assertIs(set_marks(fields, CACHE, "5m"), fields, more)
        for more in (
            {"cache_control": None},
            {"tools": [TOOL | {"input_schema": {"type": "object", "properties": {"cache_control": {}}}}]},
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": own}]}, user("hi")]},
            {"system": LONG + ' "cache_control"'},
            {"tools": [TOOL | {"cache_control": None}]},
        ):
            self.assertIn("cache_control", json.dumps(marked(**base | more)["system"]), more)

    def test_what_takes_no_mark(self) -> None:
        """Blank texts, tools that are loaded later, what the model said: the one before them gets it."""
        deferred = TOOL | {"defer_loading": True}
        turns = [user([text("hi"), text(" ")]), {"role": "assistant", "content": "{"}]
        found = marked(tools=[TOOL | {"description": LONG}, deferred], system=[text(SHORT), text("")], messages=turns)
        self.assertEqual([each.get("cache_control") for each in found["tools"]], [MARK, None])
        self.assertEqual([each.get("cache_control") for each in found["system"]], [MARK, None])
        self.assertEqual(found["messages"], [user([text("hi", cache_control=MARK), text(" ")]), turns[1]])
        found = marked(system=LONG, tools=[deferred], messages=[user("first"), user(" "), user([])])
        self.assertEqual(found["messages"][0], user([text("first", cache_control=MARK)]))
        self.assertEqual(found["tools"], [deferred])

    def test_every_other_byte(self) -> None:
        """What gets no mark is sent as it came, numbers and escapes included."""
        odd = b'[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"a\\u0020b","x":1.0e2 }]}]'
        fields = raw(system=LONG) | {"messages": msgspec.Raw(odd), "temperature": msgspec.Raw(b"1.000")}
        found = msgspec.json.encode(set_marks(fields, CACHE, "5m"))
        self.assertIn(b'"temperature":1.000', found)
        marked = odd.replace(b'"x":1.0e2 }', b'"x":1.0e2,"cache_control":{"type":"ephemeral"}}')
        self.assertIn(b'"messages":' + marked, found)

    @given(strategies.requests("anthropic"), st.integers(1, 200))
    @MODERATE
    def test_nothing_else_changes(self, request: ir.Request, least: int) -> None:
        """Whatever is asked: without its marks it says what it said, there are three at most, and none beside the
        client's own."""
        body = DIALECTS["anthropic"].render(request, "m", RenderContext({}, "drop"), stream=False)  # type: ignore[attr-defined]
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        found = set_marks(fields, PromptCache(least), "5m")
        given, made = (msgspec.json.encode(each).count(b'"cache_control"') for each in (fields, found))
        if given:
            self.assertIs(found, fields)
        self.assertLessEqual(made - given, 3)
        before, after = (bare(DIALECTS["anthropic"].parse(each)) for each in (fields, found))  # type: ignore[attr-defined]
        self.assertEqual(after, before)

    def test_what_cannot_be_read(self) -> None:
        """It is its vendor's to refuse."""
        for broken in (b'{"a":1}', b"3", b"[3]", b'[{"role":"user","content":[3]}]', b'[{"role":"user"}]', b"null"):
            fields = raw(system=LONG) | {"messages": msgspec.Raw(broken)}
            set_marks(fields, CACHE, "5m")
            self.assertEqual(bytes(fields["messages"]), broken)
