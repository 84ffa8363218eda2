"""Keys of the store, from memory."""

from __future__ import annotations

from llmedge.errors import AuthError, StoreUnavailable
from llmedge.identity.chain import Credentials
from llmedge.identity.directory import Directory
from llmedge.identity.secrets import PREFIX, is_ours
from llmedge.model import Caller


class VirtualKeys:
    """An identifier. Where it knows any key, nobody is let in for being on this machine."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def identify(self, credentials: Credentials) -> Caller | None:
        """:raises AuthError: the key has expired, was mistyped, or nobody may come in without one.

        :raises StoreUnavailable: the store was not read yet: nobody knows.
        """
        presented, directory = credentials.key, self._directory
        if presented is not None and presented.startswith(PREFIX):
            if not is_ours(presented):
                raise AuthError("Invalid API key: it is incomplete, or a character of it was changed.")
            if (found := directory.find(presented)) is None:
                if not directory.loaded:
                    raise StoreUnavailable
                return None
            caller, lasting = directory.caller(*found)
            credentials.lasting = lasting
            return caller
        if presented is None and not credentials.certificate_names():
            if not directory.loaded:
                raise StoreUnavailable
            if directory.knows_any:
                raise AuthError("Missing API key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
        return None
