from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.prompt_caches import PromptCache
from llmedge.dialects import ir
from llmedge.dialects.fitting.marks import marks_in
from llmedge.dialects.fitting.our_marks import set_marks
from llmedge.errors import Unsupported
from tests.dialects import strategies
from tests.dialects.fitting.common import body, context, say, user
from tests.effort import examples

MODERATE = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])

LONG = "be brief, " * 500
PICTURE = ir.Image(ir.Source("url", "https://x/y"))
CACHE = PromptCache(1024)


def marks(request: ir.Request, cache: PromptCache = CACHE, ttl: str = "5m") -> list[str]:
    """Where the marks are, and which."""
    found = set_marks(request, cache, ttl)
    tools = [f"{tool.name} {tool.cache}" for tool in found.tools if tool.cache]
    parts = ((part, message) for message in found.messages for part in message.parts)
    return tools + [f"{message.role} {type(part).__name__} {part.cache}" for part, message in parts if part.cache]  # type: ignore[union-attr]


class OurMarks(SynchronousTestCase):
    def test_where(self) -> None:
        """Behind the tools, the system prompt and the user's last turn."""
        tools = (ir.Tool("f"), ir.Tool("g", LONG))
        asked = (say("system", "s"), say("developer", "t"), say("user", "q"), say("assistant", "a"))
        for last, where in (
            (say("user", "q", PICTURE), "user Image 5m"),
            (say("user", PICTURE, "q", ir.Text(" ")), "user Text 5m"),
            (say("tool", ir.ToolResult("a", (ir.Text("r"),))), "tool ToolResult 5m"),
            (say("assistant", "{"), "user Text 5m"),
        ):
            found = marks(ir.Request((*asked, last), tools))
            self.assertEqual(found, ["g 5m", "developer Text 5m", where])

    def test_not_under_the_least(self) -> None:
        for request, where in (
            (user("hi", tools=(ir.Tool("f"),)), []),
            (user(LONG), ["user Text 5m"]),
            (user(ir.Image(ir.Source("base64", "A" * 9999, "image/png")), "what?"), []),
            (ir.Request((say("system", LONG), say("user", "q"))), ["system Text 5m", "user Text 5m"]),
            (ir.Request((say("system", LONG),)), ["system Text 5m"]),
            (ir.Request((say("tool", ir.ToolResult("a", (ir.Text(LONG),))),)), ["tool ToolResult 5m"]),
            (ir.Request((say("assistant", ir.ToolCall("a", "f", LONG)), say("user", "q"))), ["user Text 5m"]),
            (user("x" * 4096), ["user Text 5m"]),
            (user("x" * 4095), []),
        ):
            self.assertEqual(marks(request), where)

    def test_as_the_model_takes_them(self) -> None:
        """For an hour, or not; not behind tools, or pictures."""
        request = ir.Request((say("system", "s"), say("user", "q", PICTURE)), (ir.Tool("f", LONG),))
        self.assertEqual(marks(request, ttl="1h"), ["f 1h", "system Text 1h", "user Image 1h"])
        self.assertEqual(marks(request, PromptCache(1024, hour=False), "1h")[0], "f 5m")
        fewer = PromptCache(1024, tools=False, media=False)
        self.assertEqual(marks(request, fewer), ["system Text 5m", "user Text 5m"])

    def test_the_callers_own_win(self) -> None:
        """Nothing is added to them, wherever they are: within a result, or for the whole request."""
        system = say("system", LONG)
        inner = say("tool", ir.ToolResult("a", (ir.Text("r", cache="5m"),)))
        for request in (
            ir.Request((system, say("user", ir.Text("q", cache="5m"), "r"))),
            ir.Request((system, say("user", "q")), (ir.Tool("f", cache="1h"), ir.Tool("g"))),
            ir.Request((system, inner, say("user", "q"))),
            ir.Request((system, say("user", "q")), hints=("cache_control",)),
            ir.Request((system, say("user", "q")), hints=("messages.cache_control",)),
        ):
            self.assertIs(set_marks(request, CACHE, "5m"), request)
        self.assertEqual(len(marks(ir.Request((system, say("user", "q")), hints=("messages.id",)))), 2)

    @given(strategies.requests("anthropic"), st.integers(1, 200), st.booleans())
    @MODERATE
    def test_whatever_is_asked(self, request: ir.Request, least: int, hour: bool) -> None:
        """Three marks at most, all of one kind, and none beside the client's own; each vendor takes them as they are,
        where nothing may be left out."""
        found = set_marks(request, PromptCache(least, hour), "1h")
        if any(marks_in(request)):
            self.assertIs(found, request)
            return
        self.assertLessEqual(set(marks_in(found)), {"1h" if hour else "5m"})
        self.assertLessEqual(len(list(marks_in(found))), 3)
        for vendor in ("anthropic", "bedrock"):
            try:
                body(vendor, request, context(vendor, "refuse"))
            except Unsupported:
                continue
            body(vendor, found, context(vendor, "refuse"))

    def test_tools_that_are_alike(self) -> None:
        """They are offered once, as without marks."""
        tool = ir.Tool("f", LONG)
        said = body("anthropic", set_marks(user("q", tools=(tool, tool)), CACHE, "5m"))
        self.assertEqual([each["name"] for each in said["tools"]], ["f"])
        self.assertIn("cache_control", said["tools"][0])
