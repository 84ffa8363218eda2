"""Which providers are on when nothing is configured: those whose key is in the environment, else ``mock``."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.config import kinds
from llmedge.config.secret import Secret, resolve
from llmedge.config.settings import Provider

_KEYED = (
    # name, variable of the key, OpenAI-compatible base URL, model names that go there
    ("openai", "OPENAI_API_KEY", "https://api.openai.com/v1", ("gpt-*", "chatgpt-*", "o[0-9]", "o*-*")),
    ("anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com/v1", ("claude-*",)),
    (
        "gemini",
        "GEMINI_API_KEY",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("gemini-*",),
    ),
)
"""Base URLs: platform.openai.com/docs/api-reference, docs.anthropic.com/en/api/openai-sdk,
ai.google.dev/gemini-api/docs/openai."""


def from_environment(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Providers by name, never empty.

    :raises ValueError: a variable is set to something unusable; the message names it, not its value.
    """
    found: dict[str, Provider] = {}
    for name, variable, base_url, models in _KEYED:
        if environ.get(variable, "").strip():
            try:
                key = Secret(resolve(f"env:{variable}", environ))
            except ValueError as error:
                raise ValueError(f"environment variable {variable}: {error}") from None
            found[name] = Provider(base_url=base_url, api_key=key, models=models)
    if host := environ.get("OLLAMA_HOST", "").strip():
        try:
            base_url = kinds.url.from_text(_ollama_url(host), environ)
        except ValueError as error:
            raise ValueError(f"environment variable OLLAMA_HOST {error}") from None
        # Ollama's models have any name: it takes what nobody else does.
        found["ollama"] = Provider(base_url=f"{base_url}/v1", models=("*",))
    if not found:
        found["mock"] = Provider(dialect="mock", models=("*",))
    return found


def base_url_of(name: str) -> str:
    """The base URL of a vendor known by name, so that a file need not repeat it; ``""`` for any other."""
    return next((base_url for known, _, base_url, _ in _KEYED if known == name), "")


def _ollama_url(host: str) -> str:
    """``OLLAMA_HOST`` may be a host, host:port or URL; the port is 11434 by default (docs.ollama.com/faq)."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    rest = rest.replace("0.0.0.0", "127.0.0.1", 1)  # noqa: S104 - what a server binds is not where to call it
    if ":" not in rest.rpartition("]")[2] and not separator:
        rest += ":11434"
    return f"{scheme}://{rest}"
