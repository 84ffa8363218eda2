"""A request as its vendor takes it: what vendors want alike, in whichever dialect."""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.fitting.conversation import fit_messages
from llmedge.dialects.fitting.marks import fit_marks
from llmedge.dialects.fitting.output import fit_output
from llmedge.dialects.fitting.settings import fit_settings
from llmedge.dialects.fitting.tools import fit_tools
from llmedge.dialects.rendering import RenderContext


def fit(request: ir.Request, context: RenderContext, quirks: frozenset[str]) -> ir.Request:
    """The same request, within the target's limits and in its order.

    :param quirks: of the vendor, its model and its dialect; :data:`~llmedge.config.vendor_entry.QUIRKS`.
    :raises Unsupported: something cannot be said, and ``context`` does not let it be left out.
    """
    messages = fit_messages(request.messages, context, quirks)
    if messages != request.messages:
        request = ir.replace(request, messages=messages)
    request = fit_tools(request, context, quirks)
    request = fit_output(request, context, quirks)
    return fit_marks(fit_settings(request, context, quirks), context)
