"""Lists of models, in the client's dialect.

Sources: platform.openai.com/docs/api-reference/models, docs.anthropic.com/en/api/models-list,
ai.google.dev/api/models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import attrs


@attrs.frozen
class Listed:
    """One model as it is shown.

    :ivar created: seconds since the epoch.
    :ivar context: most tokens in, ``output``: most tokens out, where they are known.
    """

    name: str
    owner: str
    created: int
    context: int | None = None
    output: int | None = None


def openai_model(model: Listed) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owner}


def anthropic_model(model: Listed) -> dict[str, Any]:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": created,
        "lifecycle": "active",
        "max_input_tokens": model.context,
        "max_tokens": model.output,
        "capabilities": None,
        "deprecated_at": None,
        "line": None,
        "retires_at": None,
    }


def gemini_model(model: Listed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": f"models/{model.name}",
        "baseModelId": model.name,
        "version": "1",
        "displayName": model.name,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
    if model.context is not None:
        shown["inputTokenLimit"] = model.context
    if model.output is not None:
        shown["outputTokenLimit"] = model.output
    return shown


def openai_list(models: Iterable[Listed]) -> dict[str, Any]:
    return {"object": "list", "data": [openai_model(model) for model in models]}


def anthropic_list(models: Iterable[Listed]) -> dict[str, Any]:
    data = [anthropic_model(model) for model in models]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def gemini_list(models: Iterable[Listed]) -> dict[str, Any]:
    return {"models": [gemini_model(model) for model in models]}


SHAPES: dict[str, tuple[Callable[[Listed], dict[str, Any]], Callable[[Iterable[Listed]], dict[str, Any]]]] = {
    "anthropic": (anthropic_model, anthropic_list),
    "gemini": (gemini_model, gemini_list),
}
"""By dialect: how one model and a list of them are shown. OpenAI's way for all others."""
OPENAI_SHAPE = (openai_model, openai_list)
