"""The table of endpoints, made from the operations' rows each time the docs are built.

``.. operations-table::`` puts it into a page. :func:`table` needs no Sphinx.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmedge import operations
from llmedge.operations import ENDPOINTS, Endpoint

KEYS = {"always": "yes", "never": "no"}


def table(endpoints: Iterable[Endpoint] = ENDPOINTS) -> str:
    """A list-table as reST, a row for each listed endpoint: what it is, what it does, whether it wants a key."""
    lines = [".. list-table::", "    :header-rows: 1", "    :widths: 44 40 16", ""]
    rows = [("Endpoint", "What it does", "Key")]
    for endpoint in endpoints:
        if endpoint.summary:
            key = KEYS.get(endpoint.key, f"with ``{endpoint.key}``")
            more = ["multipart"] if endpoint.body == "multipart" else []
            more += ["passed through"] if endpoint.operation.passes_through else []
            rows.append((f"``{endpoint.method} {endpoint.path}``", "; ".join((endpoint.summary, *more)), key))
    for first, *more in rows:
        lines += [f"    * - {first}", *(f"      - {cell}" for cell in more)]
    return "\n".join(lines)


def setup(app: Any) -> dict[str, Any]:
    from sphinx.util.docutils import SphinxDirective

    class OperationsTable(SphinxDirective):
        def run(self) -> list[Any]:
            for module in (operations.__file__, __file__):
                self.env.note_dependency(module)
            return self.parse_text_to_nodes(table())

    app.add_directive("operations-table", OperationsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
