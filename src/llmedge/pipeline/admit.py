"""May this caller have this model, and does it exist?"""

from __future__ import annotations

from collections.abc import Awaitable
from fnmatch import fnmatchcase

from llmedge.call import Call
from llmedge.errors import NotFound, PermissionDenied
from llmedge.model import Caller
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.stage import Handler
from llmedge.streams import Reply

_ALL = ("*",)


def may_use(caller: Caller, model: str) -> bool:
    """Whether ``caller``'s patterns allow ``model``."""
    return caller.models == _ALL or any(pattern == "*" or fnmatchcase(model, pattern) for pattern in caller.models)


class Admit:
    def __init__(self, models: ModelIndex) -> None:
        self._models = models

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        if not may_use(call.caller, call.model):
            raise PermissionDenied(f"This key may not use the model '{call.model}'.", param="model")
        match = self._models.find(call.model)
        if match is None:
            raise NotFound(
                f"The model '{call.model}' does not exist here. GET /v1/models lists those that do.", param="model"
            )
        call.match = match
        call.record.model_label = match.label
        return proceed(call)
