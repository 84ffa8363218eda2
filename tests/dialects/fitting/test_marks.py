from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.errors import Unsupported
from tests.dialects.fitting.common import body, context, say, user

MARKED = ir.Request(
    (
        say("system", ir.Text("s", cache="1h")),
        say("user", ir.Text("q", cache="5m")),
        say("assistant", ir.ToolCall("a", "f", "{}", cache="5m")),
        say("tool", ir.ToolResult("a", (ir.Text("r", cache="5m"),), cache="5m")),
        say("user", ir.Text("t", cache="5m")),
    ),
    (ir.Tool("f", cache="5m"),),
)


class Marks(SynchronousTestCase):
    def test_the_last_four(self) -> None:
        """Anthropic: "A maximum of 4 blocks with cache_control may be provided". The earliest go, and are named."""
        target = context("anthropic")
        said = body("anthropic", MARKED, target)
        self.assertEqual((json.dumps(said).count("cache_control"), target.dropped), (4, ["cache_control"]))
        self.assertNotIn("cache_control", json.dumps([said["tools"], said["system"], said["messages"][0]]))
        self.assertRaises(Unsupported, body, "anthropic", MARKED, context("anthropic", "refuse"))
        target = context("bedrock", "drop")
        self.assertEqual(json.dumps(body("bedrock", MARKED, target)).count("cachePoint"), 3)  # none within a result
        self.assertEqual(target.dropped, ["cache_control"])

    def test_four_are_fine(self) -> None:
        four = user(*(ir.Text(each, cache="5m") for each in "abcd"))
        self.assertEqual(json.dumps(body("anthropic", four, context("anthropic", "refuse"))).count("cache_control"), 4)
