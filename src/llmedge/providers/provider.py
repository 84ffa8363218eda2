"""What the pipeline asks of a vendor."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from llmedge.call import Call
from llmedge.record import Attempt
from llmedge.streams import Reply


class Provider(Protocol):
    """One vendor. Knows how to put a call to it, nothing of routing."""

    name: str

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        """Put ``call`` to ``attempt.target.model``; fill in the attempt's times and status.

        A stream is returned as soon as the vendor's headers are good; its first event may be long in coming.

        :raises TargetError: it failed in a way another target may not.
        :raises EdgeError: the request itself is at fault.
        """

    def close(self) -> None:
        """The configuration it was made from is no longer in force: stop what runs in the background, on which calls
        under way do not depend. Harmless when repeated."""


@runtime_checkable
class MarksPrompts(Protocol):
    """A provider that can tell its vendor to keep the beginnings of prompts."""

    def mark_prompts(self) -> None:
        """Do so, before it is first asked, for targets that say for how long (``prompt_cache``)."""


@attrs.frozen
class ModelInfo:
    """One model of a vendor's.

    :ivar context: most tokens in, ``output``: most tokens out, where they are known.
    """

    id: str
    context: int | None = None
    output: int | None = None


@runtime_checkable
class ListsModels(Protocol):
    """A provider that can tell which models it has."""

    async def list_models(self) -> list[ModelInfo]:
        """:raises TargetError: it failed; the message is a sentence about the provider."""
