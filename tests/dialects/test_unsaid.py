"""Nothing is lost in silence: whatever leaf a request sets, the vendor is told something else, or the leaf is named."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.limits import LIMITS
from llmedge.config.vendor_entry import QUIRKS
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect
from llmedge.dialects.fitting.settings import own_stops
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import ANYWAY, RenderContext
from tests.dialects.leaves import ROLES, Leaves, kinds_of, names
from tests.dialects.test_matrix import MODELS, VENDORS

NEEDLESS = {
    "Message.at": "our own note",
    "Source.media_type": "beside a URL or an id: whoever fetches it is told",
    "ToolResult.name": "the call has it",
    "Thinking.id": "its vendor's only",
    "Thinking.redacted": "seen by there being no text",
    "Citation.file": "beside the number of the document",
    "Output.name": "a label",
    "Tool.kind": "how the client is answered",
    "Tool.namespace": "the same",
    "Request.lost": "never left out: whoever sets it is refused",
    "Output.strict": "some vendors keep to every schema",
}
"""Leaves that some vendors need not be told, and why."""


def pairs(random: Random) -> Iterator[tuple[str, Any, ir.Request, ir.Request]]:
    """Each leaf and its value, and a request without and with it: of settings, and of each kind of part in each role,
    after a call of a tool."""
    leaves, tools = Leaves(random), (ir.Tool("f"),)
    said = ir.Message("user", (ir.Text("q"),)), ir.Message("assistant", (ir.ToolCall("c", "f", "{}"),))
    yield from leaves.of(ir.Request(said[:1], tools))
    for role, kind in itertools.product(ROLES, kinds_of(ir.Part)):
        for part in leaves.least(kind):
            for leaf, value, *messages in leaves.of(ir.Message(role, (part,), at="messages[2]")):
                yield leaf, value, *(ir.Request((*said, each), tools) for each in messages)  # type: ignore[misc]


def render(vendor: str, request: ir.Request, quirks: frozenset[str]) -> tuple[bytes, list[str]]:
    """The body, and what of the request it does not say."""
    dialect, context = DIALECTS[vendor], RenderContext({}, "drop")
    assert isinstance(dialect, ChatDialect)
    return dialect.render(request, MODELS[vendor], context, stream=False, quirks=quirks), context.dropped


def needs(vendor: str) -> frozenset[str]:
    dialect = DIALECTS[vendor]
    assert isinstance(dialect, ChatDialect)
    return dialect.needs


class Unsaid(SynchronousTestCase):
    @settings(max_examples=5, phases=[Phase.generate], deadline=None)
    @given(st.integers(0, 999), st.just(frozenset()) | st.frozensets(st.sampled_from(sorted(QUIRKS))))
    def test_every_leaf_is_said_or_named(self, seed: int, quirks: frozenset[str]) -> None:
        """To every vendor, whatever its quirks; what goes without saying apart."""
        tried = set()
        for leaf, value, before, after in pairs(Random(seed)):
            tried.add(leaf)
            # Nobody does what nobody asks for, but for calling several tools at once.
            anyway = value is (leaf == "Request.parallel_tools")
            if leaf == "ToolChoice.names" and after.tool_choice is not None and after.tool_choice.mode == "none":
                continue  # of which none may be called
            for vendor in () if anyway or leaf in NEEDLESS else VENDORS:
                said, dropped = render(vendor, after, quirks)
                ours = own_stops(
                    after, LIMITS[vendor], quirks | needs(vendor)
                )  # which the gateway looks for in the answer
                if not (dropped or ours) and said == render(vendor, before, quirks)[0]:
                    self.fail(f"{leaf} = {value!r} to {vendor} is lost: {after}")
        self.assertLessEqual(names(), tried)

    def test_what_vendors_do_anyway(self) -> None:
        """It is refused by none."""
        for field, value in ANYWAY.items():
            name, _, leaf = field.partition(".")
            request = ir.Request((), **{name: ir.Reasoning(**{leaf: value}) if leaf else value})
            for vendor in VENDORS:
                self.assertEqual(render(vendor, request, frozenset())[1], [])
