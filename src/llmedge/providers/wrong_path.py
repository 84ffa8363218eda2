"""A 404 that is about the path, not about a model: the base URL is wrong, and the client can do nothing about it."""

from __future__ import annotations

import re

from llmedge.dialects.dialect import VendorError

_SAID = re.compile(
    r"""(?x)
    (the \s requested \s)? (resource|file|page|url|path|route|endpoint|404|not \s found|:|\s|-)* not \s found \.?
    | (cannot|could \s not \s find|no \s route \s (matched|for|found)) .*
    | (invalid|unknown|unrecognized) \s (request \s)? (url|path|route|endpoint) .*
    | no \s static \s resource .*
    """,
    re.IGNORECASE | re.DOTALL,
)
"""What servers say of a path they do not have: FastAPI (vLLM, SGLang) and Anthropic "Not Found", Ollama "404 page not
found", llama.cpp "File Not Found", Azure "Resource not found", OpenAI "Invalid URL (POST /v1/v1/chat/completions)",
Groq "Unknown request URL: POST …", Kong (Mistral, NVIDIA) "no Route matched with those values", Express "Cannot POST
/v1"."""
_CODES = {"unknown_url", "route_not_found"}


def is_about_path(status: int, error: VendorError) -> bool:
    """Whether an answer of ``status`` says that there is nothing at the path it was asked for. A page that no dialect
    can read, as proxies and Google send, says so too."""
    if status != 404:
        return False
    return error.code in _CODES or not error.message.strip() or _SAID.fullmatch(error.message.strip()) is not None
