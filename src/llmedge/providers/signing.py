"""What proves to a vendor who asks, where that is more than a fixed header."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """Makes the header lines that authenticate one request."""

    async def headers(self, method: str, url: str, body: bytes) -> list[tuple[str, str]]:
        """Header lines to add to a request. May wait for a fresh token; never blocks the reactor.

        :param url: as it is sent, path and query already quoted.
        :raises TargetError: no credentials can be had; a predicate about the provider, as upstream errors are.
        """

    def secrets(self) -> tuple[str, ...]:
        """What must not be seen in anything a vendor says."""

    def close(self) -> None:
        """Stop what runs in the background. Harmless when repeated."""
