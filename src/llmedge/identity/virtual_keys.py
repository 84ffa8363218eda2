"""Keys of the store, from memory."""

from __future__ import annotations

from llmedge.errors import AuthError, StoreUnavailable
from llmedge.identity.chain import Credentials
from llmedge.identity.directory import Directory
from llmedge.identity.secrets import PREFIX, is_ours
from llmedge.model import Caller


class VirtualKeys:
    """An identifier of those that look like ours; others are for others to know."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def identify(self, credentials: Credentials) -> Caller | None:
        """:raises AuthError: the key has expired, was mistyped, or is nobody's.

        :raises PermissionDenied: it is disabled.
        :raises StoreUnavailable: the store was not read yet: nobody knows.
        """
        presented = credentials.key
        if presented is None or not presented.startswith(PREFIX):
            return None
        if not is_ours(presented):
            raise AuthError("Invalid API key: it is incomplete, or a character of it was changed.")
        if (found := self._directory.find(presented)) is None:
            if not self._directory.loaded:
                raise StoreUnavailable
            raise AuthError("Invalid API key")
        caller, credentials.lasting = self._directory.caller(*found)
        return caller
