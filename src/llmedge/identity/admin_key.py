"""The first admin: whoever has the key in ``LLMEDGE_ADMIN_KEY``."""

from __future__ import annotations

import hashlib
import hmac

from llmedge.config.secret import Secret
from llmedge.identity.chain import Credentials
from llmedge.identity.roles import ROLES
from llmedge.model import Account, Caller, Grant

ADMIN = Caller(
    "admin", (), scopes=ROLES["admin"], account=Account("admin"), roles=("admin",), grants=(Grant(ROLES["admin"]),)
)


class AdminKey:
    """An identifier of one key, which may do everything but ask models: it changes nothing for calls."""

    def __init__(self, key: Secret) -> None:
        value = key.reveal()
        digest = value.removeprefix("sha256:") if value.startswith("sha256:") else ""
        self._digest = bytes.fromhex(digest) if digest else hashlib.sha256(value.encode()).digest()

    def identify(self, credentials: Credentials) -> Caller | None:
        presented = credentials.key
        if presented is None or not hmac.compare_digest(hashlib.sha256(presented).digest(), self._digest):
            return None
        credentials.lasting = True
        return ADMIN
