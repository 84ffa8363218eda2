"""What the pipeline asks of a vendor."""

from __future__ import annotations

from typing import Protocol

from llmedge.model import Attempt, Call, Reply


class Provider(Protocol):
    """One vendor. Knows how to put a call to it, nothing of routing."""

    name: str

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        """Put ``call`` to ``attempt.target.model``; fill in the attempt's times and status.

        A stream is returned as soon as the vendor's headers are good; its first event may be long in coming.

        :raises ElsewhereError: it failed in a way another target may not.
        :raises EdgeError: the request itself is at fault.
        """
