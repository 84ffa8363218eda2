"""Requests as vendors take them: what is fitted already is said as it is, and read back as it was said."""

from __future__ import annotations

from llmedge.config.limits import LIMITS
from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect
from llmedge.dialects.fitting.fit import fit
from llmedge.dialects.fitting.thinking import cannot_think
from llmedge.dialects.rendering import RenderContext


def fitted(dialect: ChatDialect, request: ir.Request, *quirks: str) -> ir.Request:
    """``request`` as a vendor of ``dialect`` with ``quirks`` takes it."""
    context = RenderContext({}, "drop", limits=LIMITS[dialect.name])
    return fit(request, context, dialect.needs | frozenset(quirks))


def thinkable(request: ir.Request) -> ir.Request:
    """``request`` without a wish to think, where Claude could not."""
    return ir.replace(request, reasoning=None) if cannot_think(request, "enabled") else request
