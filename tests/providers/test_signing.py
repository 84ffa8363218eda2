"""Requests that carry a key."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.providers.signing import BearerToken


class Bearers(SynchronousTestCase):
    def test_nothing_secret_shows(self) -> None:
        """The key is in the header, and in nothing that is shown."""
        bearer = BearerToken(Secret("xyz"))
        headers = self.successResultOf(Deferred.fromCoroutine(bearer.headers("POST", "https://x", b"")))
        self.assertEqual((headers, bearer.secrets()), ([("authorization", "Bearer xyz")], ("xyz",)))
        self.assertNotIn("xyz", repr(bearer))  # letters that no address has
        bearer.close()
