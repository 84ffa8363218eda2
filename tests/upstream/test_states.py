"""docs/states.rst draws what the tables say."""

import re
from enum import IntEnum
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from llmedge.upstream import connection, exchange

DRAWINGS = Path(__file__).parent.parent.parent / "docs" / "states.rst"


def drawn(title: str, states: type[IntEnum]) -> set[tuple[str, str, str]]:
    """The (state, event, next state) that the drawing under ``title`` shows."""
    text = DRAWINGS.read_text().partition(f"\n{title}\n---")[2]
    block = re.search(r"::\n\n((?: {4}.*\n|\n)+)", text)
    assert block is not None, title
    found = set()
    for line in block[1].splitlines():
        steps = re.split(r" --(.+?)--> ", line.strip())  # state, event, state, event, state ...
        for state, event, after in zip(steps[::2], steps[1::2], steps[2::2], strict=False):
            every = [each.name for each in states if each.name != state.removeprefix("any but ")]
            found |= {(each, event, after) for each in (every if state.startswith("any but ") else [state])}
    return found


class Drawn(SynchronousTestCase):
    def test_the_drawings_are_the_tables(self) -> None:
        for title, module in {"The upstream connection": connection, "The exchange": exchange}.items():
            table = {
                (state.name, event, after.name)
                for event, row in module.TRANSITIONS.items()
                for state, after in row.items()
            }
            self.assertEqual(drawn(title, module.State), table, title)
            self.assertEqual(
                {name for state, _, after in table for name in (state, after)}, {*module.State.__members__}
            )
