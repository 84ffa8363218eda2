"""The first admin."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.identity.admin_key import ADMIN, AdminKey
from tests.identity.test_chain import Shown


class First(SynchronousTestCase):
    def test_by_its_key_or_its_digest(self) -> None:
        digest = hashlib.sha256(b"the key").hexdigest()
        for value in ("the key", f"sha256:{digest}"):
            identifier = AdminKey(Secret(value))
            shown = Shown(b"the key")
            self.assertIs(identifier.identify(shown), ADMIN)
            self.assertTrue(shown.lasting)
            self.assertIsNone(identifier.identify(Shown(b"another")))
            self.assertIsNone(identifier.identify(Shown()))
        self.assertIsNone(AdminKey(Secret(f"sha256:{digest}")).identify(Shown(digest.encode())))

    def test_asks_no_models(self) -> None:
        self.assertNotIn("inference", ADMIN.scopes)
