"""What has changed since the last release, from the fragments that towncrier will make its page of.

``.. waiting-news::`` puts it into a page. :func:`waiting` needs no Sphinx.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FRAGMENTS = Path(__file__).parent.parent.parent / "newsfragments"
KINDS = {"feature": "New", "bugfix": "Repaired", "removal": "Gone", "doc": "Documentation", "misc": "Besides"}


def waiting(folder: Path = FRAGMENTS) -> str:
    """A list for each kind that there are fragments of, as reST."""
    lines: list[str] = []
    for kind, title in KINDS.items():
        fragments = sorted(folder.glob(f"*.{kind}.rst"))
        if fragments:
            lines += [f"**{title}**", ""]
        for fragment in fragments:
            words = fragment.read_text().strip().splitlines()
            lines += [f"- {words[0]}", *(f"  {line}" for line in words[1:]), ""]
    return "\n".join(lines)


def setup(app: Any) -> dict[str, Any]:
    from sphinx.util.docutils import SphinxDirective

    class WaitingNews(SphinxDirective):
        def run(self) -> list[Any]:
            for fragment in FRAGMENTS.glob("*.rst"):
                self.env.note_dependency(str(fragment))
            return self.parse_text_to_nodes(waiting())

    app.add_directive("waiting-news", WaitingNews)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
