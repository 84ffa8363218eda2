"""``docs/translation.rst`` says what is carried, refused and dropped: as the code does it, cell by cell.

``python -m tests.dialects.test_translation`` prints its tables.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects import foreign
from llmedge.dialects.dialect import ClientDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import Unsupported
from llmedge.model import Target
from llmedge.record import DROPPED
from tests.dialects import leaves
from tests.dialects.matrix import cases
from tests.dialects.matrix.fields import FIELDS
from tests.dialects.test_matrix import ASKERS, MODELS, VENDORS, ask, translation_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "translation.rst"
NAMES = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "bedrock": "Bedrock",
}
UNLISTED = {
    **{f"{kind}.cache": "as a text's" for kind in ("Image", "File", "ToolCall", "ToolResult", "Tool")},
    "Request.frequency_penalty": "as presence_penalty",
    "Request.top_logprobs": "only with logprobs",
    "Audio.transcript": "nobody asks with it",
    "Output.strict": "in the case of a JSON schema",
}
"""Leaves without a row, and why."""
SAME, CARRIED, REFUSED, NAMED, LOST = "as is", "yes", "--", "hint", "no"


def saying(client: str, what: str) -> Call:
    """A plain call that says one thing more."""
    call, _, body = ask(client, "plain", False)
    raw = cases.dump(body | FIELDS[what][client]).encode()
    call.fields = DIALECTS[client].parse_request(raw, model=cases.ASKED_MODEL).fields
    return call


def refused(client: str, vendor: str, what: str) -> str:
    """The field that the vendor cannot be told; ``""`` for none."""
    try:
        translation_of(client, vendor).body(saying(client, what), Target("v", MODELS[vendor]), "hints")
    except Unsupported as error:
        return error.param or "?" if error.status == 400 else "?"
    return ""


def named(client: str, vendor: str, what: str) -> str:
    """The field that the vendor cannot be told and that is no reason to refuse; ``""`` for none."""
    call = saying(client, what)
    try:
        translation_of(client, vendor).body(call, Target("v", MODELS[vendor]), "hints")
    except Unsupported:
        return ""
    return ", ".join(call.record.facts.get(DROPPED, []))


def row(client: str, what: str) -> list[str]:
    """One line: what, the field's name where somebody refuses it, and a word for each vendor."""
    fields = {vendor: "" if vendor == client else refused(client, vendor, what) for vendor in VENDORS}
    hints = {vendor: "" if vendor == client else named(client, vendor, what) for vendor in VENDORS}
    # What stands in parentheses is the part of a message; dialects call it differently.
    told = [field for field in (*fields.values(), *hints.values()) if field]
    name = min((field.partition(" (")[0] for field in told), key=len, default="")
    refused_as = LOST if saying(client, what).said().lost else REFUSED
    words = [
        SAME if vendor == client else refused_as if fields[vendor] else NAMED if hints[vendor] else CARRIED
        for vendor in VENDORS
    ]
    return [what, f"``{name}``" if name else "", *words]


def tables() -> str:
    """A table for each client dialect."""
    out = ""
    for client in ASKERS:
        head = [f"{NAMES[client]} client", "Field", *(NAMES[vendor] for vendor in VENDORS)]
        rows = [row(client, what) for what, askers in FIELDS.items() if client in askers]
        widths = [max(len(each[column]) for each in [head, *rows]) for column in range(len(head))]
        rule = " ".join("=" * width for width in widths)
        lines = [
            " ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)) for each in (head, *rows)
        ]
        # An empty first cell would go on with the row before; an empty other one is fine.
        out += "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n\n"
    return "\n".join(line.rstrip() for line in out.splitlines()) + "\n"


def lists() -> str:
    """The hints of each client's own dialect, and what is lost."""
    out = ""
    for client in ASKERS:
        for heading, table in (("hints", foreign.HINTS), ("never left out", foreign.LOST)):
            names = ", ".join(f"``{name}``" for name in sorted(name.removeprefix("*.") for name in table[client]))
            if names:
                body = textwrap.fill(names, 116, break_long_words=False, break_on_hyphens=False)
                out += f"{NAMES[client]}, {heading}\n{textwrap.indent(body, '    ')}\n"
    return out


class Documentation(SynchronousTestCase):
    maxDiff = None

    def test_tables(self) -> None:
        """Every cell of the page is what happens."""
        self.assertIn(tables().strip(), PAGE.read_text())

    def test_lists(self) -> None:
        """The page names all hints that are not in the tables, and all that is never left out."""
        self.assertIn(lists().strip(), PAGE.read_text())

    def test_every_leaf_has_a_row(self) -> None:
        """What a client can say is in a table; a new leaf of the form has to be put there."""
        said: set[str] = set()
        for what, askers in FIELDS.items():
            for client in askers:
                dialect = DIALECTS[client]
                assert isinstance(dialect, ClientDialect)
                said |= leaves.said_in(dialect.parse(saying(client, what).fields))
        self.assertEqual(leaves.names() - said, set(UNLISTED))

    def test_cases_are_named(self) -> None:
        """The page names every case of the matrix."""
        page = PAGE.read_text()
        for name in cases.CASES.values():
            self.assertIn(name, page)

    def test_what_is_refused_can_be_dropped(self) -> None:
        """The rest gets through, and the record names exactly what did not; but for what is said to the model."""
        for what, askers in FIELDS.items():
            for client in askers:
                for vendor in VENDORS:
                    if client != vendor and (name := refused(client, vendor, what)):
                        call = saying(client, what)
                        if call.said().lost:
                            with self.assertRaises(Unsupported):
                                translation_of(client, vendor).body(call, Target("v", MODELS[vendor]), "drop")
                            continue
                        json.loads(translation_of(client, vendor).body(call, Target("v", MODELS[vendor]), "drop"))
                        self.assertEqual(call.record.facts.get(DROPPED), [name], f"{client} → {vendor}: {what}")


if __name__ == "__main__":
    print(tables())
    print(lists())
