"""May this caller have this model, does it exist, and what of earlier answers does the call refer to?"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

import msgspec

from llmedge.call import Call
from llmedge.dialects.openai_responses.items import recalled
from llmedge.errors import NotFound, PermissionDenied
from llmedge.pipeline.kept import keeper_of, naming, original, previous_of
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
        return proceed(self._recalling(call) if call.dialect == "openai_responses" else call)

    def _recalling(self, call: Call) -> Call:
        """What was answered is kept for a while, as the Responses API does, and stands where its id is sent."""
        items, owner = self.deps.items, call.caller.id
        if bytes(call.fields.get("store", b"")) != b"false":
            call.remember = partial(items.put, owner)
        call.previous = previous_of(call)
        if call.previous and (before := items.get(owner, original(call.previous))) is not None:
            call = naming(call, before.decode())  # an answer that was given again: its vendor knows it by its first id
        if call.previous:
            call.kept_by = keeper_of(items, owner, call.previous)
        said = bytes(call.fields.get("input", b""))
        if (told := recalled(said, partial(items.get, owner))) is said:
            return call
        return call.changed(fields={**call.fields, "input": msgspec.Raw(told)})
