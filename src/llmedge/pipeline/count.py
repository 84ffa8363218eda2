"""Counting tokens: by the vendor if it can, else here."""

from __future__ import annotations

from llmedge.dialects.dialect import CountingDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import Unsupported
from llmedge.model import Answer, Call, Operation, Reply
from llmedge.pipeline.stage import Handler
from llmedge.pipeline.tokens import TokenCounter


class CountTokens:
    """Estimates where no target of the model counts tokens. Leaves other calls alone."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        if call.operation is not Operation.COUNT_TOKENS:
            return await proceed(call)
        try:
            return await proceed(call)
        except Unsupported:
            usage = await self._tokens.estimate(call.fields, [], call.model)
            dialect = DIALECTS[call.dialect]
            assert isinstance(dialect, CountingDialect)
            return Answer(dialect.render_count_answer(usage.input))
