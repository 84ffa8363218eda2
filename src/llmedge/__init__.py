"""llmedge: an LLM edge gateway on Twisted. See docs/architecture.rst for the map."""

from llmedge._version import __version__

__all__ = ["__version__"]
