"""Blocks as decoders begin and end them."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.blocks import BlockWriter


class Blocks(SynchronousTestCase):
    def test_one_at_a_time(self) -> None:
        """A block of another kind closes the open one; one of the same kind goes on."""
        writer, items = BlockWriter(2), []
        self.assertEqual([writer.at(kind, items) for kind in ("text", "text", "thinking")], [0, 0, 1])
        writer.close(items)
        writer.close(items)
        self.assertEqual(items, [ir.Open(0, "text", 2), ir.Close(0, 2), ir.Open(1, "thinking", 2), ir.Close(1, 2)])

    def test_beside(self) -> None:
        """A block that stands beside the open one has a number of its own, and leaves that open."""
        writer, items = BlockWriter(), []
        writer.open("text", items)
        self.assertEqual(writer.add("tool", items, tool_id="i", name="n"), 1)
        self.assertEqual((writer.kind, writer.at("text", items), writer.count), ("text", 0, 2))
        self.assertEqual(items, [ir.Open(0, "text"), ir.Open(1, "tool", tool_id="i", name="n")])

    def test_redacted(self) -> None:
        """A thought that is its proof alone closes what is open, and is whole."""
        writer, items = BlockWriter(), []
        writer.open("text", items)
        writer.redacted("s", items)
        self.assertEqual(items[1:], [ir.Close(0), ir.Open(1, "thinking", signature="s", redacted=True), ir.Close(1)])
