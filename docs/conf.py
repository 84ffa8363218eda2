"""Sphinx: ``make docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]

from llmedge._version import __version__  # noqa: E402

project = "llmedge"
release = version = __version__
extensions = ["operations_table", "settings_reference", "waiting_news", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"
smartquotes = False
html_theme = "furo"
html_title = f"llmedge {__version__}"
html_show_copyright = False
html_show_sourcelink = False
html_show_sphinx = False
