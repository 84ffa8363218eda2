"""Settings that are one simple value: a dialect's name for each, read by its parser and its renderer alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields

_READERS: dict[Any, Callable[[Fields, str], Any]] = {
    bool | None: Fields.boolean,
    int | None: Fields.integer,
    float | None: Fields.number,
    str: Fields.text,
    tuple[str, ...]: Fields.texts,
}
_READ = {name: _READERS[hint] for name, hint in get_type_hints(ir.Request).items() if hint in _READERS}
_ANYWAY = {
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "top_logprobs"), 0),
    **dict.fromkeys(("logprobs", "store"), False),
    "n": 1,
    "parallel_tools": True,
    "service_tier": "auto",
    "verbosity": "medium",
}
"""Values that say what goes without saying."""

TOOL = {"description": "description", "strict": "strict"}
"""What most dialects say of a tool in the same words."""


def parse_scalars(fields: Fields, names: Mapping[str, str]) -> dict[str, Any]:
    """The settings there are, by the IR's names.

    :param names: the IR's name to the dialect's.
    :raises EdgeError: one is mistyped.
    """
    found: dict[str, Any] = {}
    for ours, theirs in names.items():
        if fields.has(theirs) and (value := _READ[ours](fields, theirs)) != _ANYWAY.get(ours):
            found[ours] = value
    return found


def render_scalars(struct: ir.Struct, names: Mapping[str, str], out: dict[str, Any]) -> None:
    """Put what is set of a request, a tool or an output into ``out``."""
    for ours, theirs in names.items():
        if (value := getattr(struct, ours)) not in (None, "", ()):
            out[theirs] = value
