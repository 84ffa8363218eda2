"""What all scripts of clients share. They run in processes of their own, so that every warning can be an error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

URL, KEY, *MODELS = sys.argv[1:]
"""The gateway, a client's key, and the models to ask."""
ANSWER = "This is a mock answer to: hello"
TOLD = "It is sunny in Oslo, and likely to stay so for the next few days."
LLAMAS = ("m-llama", "m-llama-chat", "m-llama-messages")
"""A real server: in the asker's dialect where it speaks it, and in one of its dialects only."""
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo"]}}, "required": ["city"]}
ARGUMENTS = {"city": "Oslo"}

_RESPONSE = {"store", "presence_penalty", "frequency_penalty"}
SENT_BY_THE_API = {
    "Response": _RESPONSE,
    "ParsedResponse": _RESPONSE,
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
}
"""What OpenAI sends as well, and Open Responses or openai 2.x want, although openai 3.x does not know it."""
LEFT_OUT_BY_THE_API = {"ResponseFunctionCallArgumentsDoneEvent"}
"""openai 2.x wants a ``name`` in it, which not all vendors send."""


def begin() -> None:
    """From here on (after the imports, which are not ours to judge) a warning is a failure."""
    warnings.simplefilter("error")


class Own:
    """Whether what comes is a vendor's own answer, passed through: aimock leaves required fields out."""

    answer = False


def known(model: Any) -> Any:
    """``model``, in which no field is unknown to the SDK, however deep, and none is missing or of another type."""
    _walk(model, type(model).__name__)
    name = type(model).__name__
    if not Own.answer and "[" not in name and name not in LEFT_OUT_BY_THE_API:  # generic helpers have no JSON form
        given = model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        type(model).model_validate(given, strict=False)
    return model


def _walk(value: Any, path: str) -> None:
    if isinstance(value, BaseModel):
        unknown = set(value.model_extra or ()) - SENT_BY_THE_API.get(type(value).__name__.partition("[")[0], set())
        assert not unknown, f"{path} ({type(value).__name__}) has unknown fields: {value.model_extra}"
        for name in type(value).model_fields:
            _walk(getattr(value, name, None), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, each in value.items():
            _walk(each, f"{path}[{name}]")
    elif isinstance(value, list | tuple):
        for each in value:
            _walk(each, f"{path}[]")


def all_known(models: Iterable[Any]) -> list[Any]:
    return [known(model) for model in models]


def equal(got: Any, wanted: Any, what: str = "") -> None:
    assert got == wanted, f"{what}: {got!r} is not {wanted!r}"


def raises(kind: type[Exception], call: Callable[[], Any]) -> Any:
    """The exception of this class that ``call`` ends with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"did not raise {kind}")


def breaks(stream: Callable[[], Iterable[Any]], kind: type[Exception]) -> None:
    """The vendor breaks off in the midst of this stream: the client must be told, however far it was."""
    got = 0
    try:
        for _ in stream():
            got += 1
    except kind:
        assert got > 1, "failed before any content"
    else:
        raise AssertionError("a truncated answer ended as if it were whole")
