"""Counting tokens: by the vendor if it can, else here."""

from __future__ import annotations

from llmedge.call import Call
from llmedge.dialects.dialect import CountingDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import TargetBusy, Unsupported
from llmedge.model import Answer
from llmedge.operations import Operation
from llmedge.pipeline.stage import Handler, Stage
from llmedge.record import DROPPED, ESTIMATED
from llmedge.streams import Reply


class CountTokens(Stage):
    """Estimates where no target of the model counts tokens, or none can be asked now; the answer says so."""

    operations = (Operation.COUNT_TOKENS,)

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        try:
            return await proceed(call)
        except (Unsupported, TargetBusy):
            call.record.facts.pop(DROPPED, None)  # of a vendor that does not count after all
            call.record.facts[ESTIMATED] = "tokens"
            usage = await self.deps.tokens.estimate(call, "", call.model)
            dialect = DIALECTS[call.dialect]
            assert isinstance(dialect, CountingDialect)
            return Answer(dialect.render_count_answer(usage.input))
