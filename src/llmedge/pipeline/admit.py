"""May this caller have this model, and does it exist?"""

from __future__ import annotations

from collections.abc import Awaitable

from llmedge.call import Call
from llmedge.errors import NotFound, PermissionDenied
from llmedge.pipeline.stage import Handler, Stage
from llmedge.streams import Reply


class Admit(Stage):
    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        caller = call.caller
        if "inference" not in caller.scopes:
            raise PermissionDenied("This key may not ask for models.")
        if not caller.may_use(call.model):
            raise PermissionDenied(f"This key may not use the model '{call.model}'.", param="model")
        match = self.deps.models.find(call.model)
        if match is None:
            raise NotFound(
                f"The model '{call.model}' does not exist here. GET /v1/models lists those that do.", param="model"
            )
        call.match = match
        call.record.model_label = match.label
        return proceed(call)
