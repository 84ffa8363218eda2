"""Calls that the gateway makes for itself, such as to a judge: each with a record, a cost and limits of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from llmedge.cache.semantic.answers import said_in
from llmedge.call import Call
from llmedge.errors import EdgeError, NotFound, UpstreamMalformed
from llmedge.model import Account, Answer, Caller, Clock, Deadline
from llmedge.operations import Operation
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.stage import Handler
from llmedge.record import Record

OPERATORS = Account("asides")
"""Whose calls are that nobody asked for: no key pays for them."""
_encode = msgspec.json.encode


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Vector]


_decode_embeddings = msgspec.json.Decoder(_Embeddings).decode


def operators(caller: Caller) -> Caller:
    """Stands for the operators where a call is made on the occasion of one of ``caller``'s: it has no limits."""
    return Caller(caller.name, account=OPERATORS)


class Asides:
    """:param handlers: what a call goes through, by operation. :param observers: get the record of each."""

    def __init__(
        self,
        clock: Clock,
        models: ModelIndex,
        handlers: Mapping[Operation, Handler],
        observers: Sequence[Callable[[Record], None]],
    ) -> None:
        self._clock, self._models, self._handlers, self._observers = clock, models, handlers, observers
        self._as_they_like: set[str] = set()

    async def chat(
        self, model: str, messages: Sequence[Mapping[str, str]], caller: Caller, seconds: float, purpose: str
    ) -> str:
        """What a chat model says. :param purpose: the operation's name in log, metrics and ledger.

        :raises EdgeError: nothing, or not in time. :raises CancelledError: likewise.
        """
        ask = partial(self._ask, Operation.CHAT, "openai_chat", model)
        fields = {"messages": messages}
        if model in self._as_they_like:
            answer = await ask(fields, caller, seconds, purpose)
        else:
            try:
                answer = await ask(fields | {"temperature": 0}, caller, seconds, purpose)
            except EdgeError as error:
                if error.status not in (400, 422):
                    raise
                self._as_they_like.add(model)  # models that think take no temperature
                answer = await ask(fields, caller, seconds, purpose)
        return said_in("openai_chat", answer.body, False)

    async def embed(self, model: str, text: str, caller: Caller, seconds: float, purpose: str) -> list[float]:
        """The vector that an embeddings model makes of ``text``; errors as for :meth:`chat`."""
        fields = {"input": [text], "encoding_format": "float"}
        answer = await self._ask(Operation.EMBEDDINGS, "openai_embeddings", model, fields, caller, seconds, purpose)
        try:
            return _decode_embeddings(answer.body).data[0].embedding
        except (msgspec.DecodeError, IndexError):
            raise UpstreamMalformed("answered without an embedding") from None

    async def _ask(
        self,
        operation: Operation,
        dialect: str,
        model: str,
        fields: Mapping[str, Any],
        caller: Caller,
        seconds: float,
        purpose: str,
    ) -> Answer:
        match = self._models.find(model)
        if match is None:
            raise NotFound(f"The model '{model}' does not exist here.", param="model")
        raw = {name: msgspec.Raw(_encode(value)) for name, value in {"model": model, **fields}.items()}
        record = Record(
            request_id=f"{purpose}_{secrets.token_hex(12)}",
            method="POST",
            route=operation.endpoints[0].path,
            peer="",
            received=self._clock.seconds(),
            operation=purpose,
            caller=caller.name,
            account=caller.account,
            model=model,
            model_label=match.label,
            bytes_in=sum(len(bytes(each)) for each in raw.values()),
        )
        deadline = Deadline(self._clock, seconds)
        call = Call(operation, dialect, model, raw, False, False, 1, caller, deadline, record, match=match)
        asking: Deferred[Any] = Deferred.fromCoroutine(self._handle(call))
        late = self._clock.callLater(seconds, asking.cancel)
        try:
            reply = await asking
        except EdgeError as error:
            record.status = error.status
            raise
        finally:
            if late.active():
                late.cancel()
            record.ended = self._clock.seconds()
            record.outcome = record.outcome or "aborted"
            for observe in self._observers:
                observe(record)
        assert isinstance(reply, Answer), "no stream was asked for"
        return reply

    async def _handle(self, call: Call) -> Any:
        reply = await self._handlers[call.operation](call)
        call.record.status = 200
        return reply
