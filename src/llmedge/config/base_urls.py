"""Base URLs as portals, SDKs and terminals show them: what stands behind them is known, and left out or put in.

A base URL is what stands before a vendor's paths. Azure's portal shows ``…/openai/v1``, or a whole deployment;
Anthropic's and Google's pages have the version in it; Ollama's own clients have no ``/v1``; and many copy the URL that
curl is shown with. Pure text; no host is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from llmedge.config.vendor_entry import Vendor

_ORIGIN = re.compile(r"((?:[A-Za-z+]+://[^/]*)?)(.*)", re.DOTALL)
_VERSION = re.compile(r"/v\d[a-z0-9]*(?=/|$)")
_ENDINGS = {
    "/chat/completions": "openai",
    "/responses": "openai_responses",
    "/v1/messages": "anthropic",
    ":generatecontent": "gemini",
    ":streamgeneratecontent": "gemini",
}
"""How whole URLs end → the ``dialect`` that speaks there."""
_LOCAL = ("ollama", "vllm", "llamacpp", "lmstudio")
"""Servers of one's own that have OpenAI's API behind ``/v1``."""
_BESIDE = {
    "azure": re.compile(r"/(openai|anthropic)(/.*)?$"),
    "bedrock": re.compile(r"/(model|openai/v1(/chat/completions)?)$"),
    "gemini": re.compile(r"/v1(beta)?/openai(/chat/completions)?$"),
    "ollama": re.compile(r"/api(/(chat|generate|embed|embeddings|tags))?$"),
}
"""What else is at a vendor's host, and shown for a base URL: what has paths of its own in the catalogue, OpenAI's form
at Google (ai.google.dev/gemini-api/docs/openai) and AWS, and what is no dialect of ours (docs.ollama.com/api)."""


def without_paths(base_url: str, entry: Vendor) -> str:
    """``base_url`` without what is said again by the paths of ``entry``, all of one or its beginning."""
    origin, path = _split(base_url)
    beside = _BESIDE.get(entry.name)
    if beside is not None:
        path = beside.sub("", path)
    templates = [each for each in (*entry.dialects.values(), *entry.stream_paths.values()) if each[0] == "/"]
    path = _without(path, templates)
    if entry.name in _LOCAL:
        path = path or "/v1"
    elif is_at(origin, entry):
        path = path or _split(entry.base_url)[1]
    return origin + path


def is_at(url: str, entry: Vendor) -> bool:
    """Whether ``url`` is at a host of the vendor's own, such as that of another region."""
    domain = ".".join(_host(entry.base_url).split(".")[-2:])
    return not entry.anywhere and bool(domain) and f".{_host(url)}".endswith(f".{domain}")


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def of_catalogue(base_url: str, entry: Vendor | None) -> str:
    """The base URL of ``entry`` where ``base_url`` is at its host and says nothing else, ``base_url`` where it does.

    ``https://api.openai.com`` and ``https://api.anthropic.com/v1`` are these vendors'; so is what one of several
    dialects of theirs has for a base, such as ``https://api.deepseek.com/anthropic``.
    """
    if entry is None or not entry.base_url or entry.anywhere:
        return base_url
    (origin, path), (their_origin, their_path) = _split(base_url), _split(entry.base_url)
    if origin.lower() != their_origin:
        return base_url
    known = [
        template.removeprefix("{origin}") if template.startswith("{origin}") else their_path + template
        for template in (*entry.dialects.values(), *entry.stream_paths.values())
    ]
    left = _without(path, known, all_of_them=True)
    return entry.base_url if left in ("", their_path) or their_path.startswith(f"{path}/") else base_url


def problem(base_url: str, entry: Vendor) -> str:
    """What cannot be right about a settled ``base_url``, a predicate; ``""`` if nothing is known to be wrong."""
    path = _split(base_url)[1].lower()
    for ending, dialect in _ENDINGS.items():
        if path.endswith(ending):
            shown = "" if dialect in _spoken(entry) else f', and dialect = "{dialect}" if that is what it speaks'
            return f"ends in {ending}, which the gateway adds itself: leave it out{shown}"
    if re.search(r"/api/(chat|generate|embed|tags)$", path) and entry.name != "ollama":
        return (
            'ends in Ollama\'s own API: write vendor = "ollama" and its address alone, such as http://127.0.0.1:11434'
        )
    if entry.name == "azure" and path.endswith("/models"):
        return "ends in /models, which is not Azure's OpenAI API: leave it out"
    return ""


def _spoken(entry: Vendor) -> set[str]:
    return {"openai" if dialect == "openai_chat" else dialect for dialect in entry.dialects}


def _split(url: str) -> tuple[str, str]:
    """Scheme and host, and the path behind them."""
    found = _ORIGIN.match(url)
    assert found is not None
    return found[1], found[2].rstrip("/")


def _without(path: str, templates: Iterable[str], all_of_them: bool = False) -> str:
    """``path`` without the longest end of it that begins a template: all of that, or where there is a version in it,
    or ``all_of_them`` may begin so, any part of it."""
    ends: set[str] = set()
    for template in templates:
        template = template.partition("?")[0]
        parts = re.findall(r"/[^/]+", template)
        ends.add(template)
        if all_of_them or _VERSION.search(template):
            ends |= {"".join(parts[:count]) for count in range(1, len(parts) + 1)}
    best = path
    for end in ends:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(end))
        found = re.search(f"{pattern}$", path, re.IGNORECASE)
        if found and found.start() < len(best):
            best = path[: found.start()]
    return best
