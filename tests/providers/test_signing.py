"""Requests that carry a key."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.providers.bedrock import BedrockSettings
from llmedge.providers.registry import OURS
from llmedge.providers.requests import Requests


class Bearers(SynchronousTestCase):
    def test_nothing_secret_shows(self) -> None:
        """An API key of Bedrock's is a header, which nothing signs; what the vendor says does not show it."""
        settings = BedrockSettings(vendor="bedrock", base_url="https://x", region="r", api_key=Secret("xyzw"))
        bedrock = OURS["bedrock"]
        spec = bedrock.spec(settings)
        self.assertIsNone(bedrock.signer(settings, None, None, None))
        self.assertEqual({name: key.reveal() for name, key in spec.headers.items()}, {"authorization": "Bearer xyzw"})
        self.assertNotIn("xyzw", repr(spec))  # letters that no address has
        self.assertEqual(Requests("bedrock", spec, Clock()).scrub("no xyzw"), "no ***")
