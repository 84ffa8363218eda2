"""Which target keeps an answer that a call goes on from: vendors' accounts keep their own only.

A call of the Responses API names an earlier answer by ``previous_response_id``, or a ``conversation``
(platform.openai.com/docs/guides/conversation-state). Who has that is remembered for a while; where nobody is known to,
the targets are asked in turn.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import msgspec

from llmedge.call import Call, Candidate
from llmedge.dialects.lenient import UNREADABLE
from llmedge.errors import EdgeError, KeptElsewhere, VendorRefused
from llmedge.model import Answer
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.routed import RoutedStream
from llmedge.state.items import ItemMemory
from llmedge.streams import Reply

_LONGEST = 256
"""Characters of an id."""
_CODE = "previous_response_not_found"
"""OpenAI's, also at Azure."""


class _Named(msgspec.Struct):
    id: str = ""


class _Begun(msgspec.Struct):
    response: _Named | None = None


_decode_id = msgspec.json.Decoder(_Named).decode
_decode_event = msgspec.json.Decoder(_Begun).decode
_decode_place = msgspec.json.Decoder(str | _Named | None).decode
_PLACES = ("previous_response_id", "conversation")


def previous_of(call: Call) -> str:
    """The id of the answer or the conversation that ``call`` goes on from; ``""`` for none."""
    for name in _PLACES:
        try:
            place = _decode_place(call.fields.get(name, b"null"))
        except UNREADABLE:  # its vendor says so
            continue
        if id := place.id if isinstance(place, _Named) else place:
            return id
    return ""


def original(id: str) -> str:
    """The name under which is kept what the answer ``id``, one that was given again, is called by its vendor."""
    return f"original {id}"  # no item's id has a space


def note_again(call: Call, new: str, id: str, target: str) -> None:
    """Have it remembered that ``new``, which ``call`` is given, is the answer ``id`` of ``target``."""
    if call.remember is not None and 0 < len(id) <= _LONGEST:
        call.remember(original(new), id.encode())
        call.remember(_name(id), target.encode())


def naming(call: Call, id: str) -> Call:
    """``call``, going on from the answer ``id``."""
    raw = msgspec.Raw(msgspec.json.encode(id))
    return call.changed(fields={**call.fields, "previous_response_id": raw}, previous=id)


def keeper_of(items: ItemMemory, owner: str, id: str) -> str:
    """The target that has ``owner``'s answer or conversation ``id``, as ``PROVIDER/MODEL``; ``""``: nobody knows."""
    return (items.get(owner, _name(id)) or b"").decode()


def note_keeper(call: Call, target: str, reply: Reply) -> None:
    """Have it remembered that ``target`` gave ``reply``, and has what that goes on from, if its vendor keeps it."""
    for id in (call.previous, _id_of(reply)):
        if call.remember is not None and 0 < len(id) <= _LONGEST:
            call.remember(_name(id), target.encode())


def put_first(keeper: str, queue: list[Candidate], fallbacks: Iterable[str], models: ModelIndex) -> set[str]:
    """Have ``keeper`` asked first, which may be a target of a fallback; the names of all in the queue."""
    for fallback in fallbacks:
        if keeper not in (each.name for each in queue) and (match := models.find(fallback)) is not None:
            queue += [attrs.evolve(each, fallback=fallback) for each in match.candidates if each.name == keeper]
    queue.sort(key=lambda each: each.name != keeper)
    return {each.name for each in queue}


def as_kept_elsewhere(error: EdgeError, previous: str) -> EdgeError:
    """The refusal of a target that has not got ``previous``, an answer or a conversation, as a failure of its own:
    another one may have it. vLLM's is a 404 that names it."""
    if not isinstance(error, VendorRefused) or error.status not in (400, 404):
        return error
    unknown = error.code == _CODE or error.param in _PLACES or previous in error.message
    return KeptElsewhere(error) if unknown else error


def _name(id: str) -> str:
    return f"response {id}"  # no item's id has a space


def _id_of(reply: Reply) -> str:
    try:
        if isinstance(reply, Answer):
            return _decode_id(reply.body).id
        frames = b"".join(event.frame for event in reply.held) if isinstance(reply, RoutedStream) else b""
        return next((begun.response.id for begun in map(_decode_event, _data(frames)) if begun.response), "")
    except UNREADABLE:
        return ""


def _data(frames: bytes) -> Iterable[bytes]:
    return (line.removeprefix(b"data:") for line in frames.splitlines() if line.startswith(b"data:"))
