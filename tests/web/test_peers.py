"""Whose address counts behind a proxy."""

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import Edge
from tests.web.common import KEYS


class Peers(SynchronousTestCase):
    def test_forwarded_for(self) -> None:
        """Counted from the right, as far as the proxies are ours; what a client writes itself is never believed."""
        edge = Edge(KEYS + '[server]\ntrusted_proxies = ["10.0.0.0/8", "127.0.0.1"]\n')
        for peer, forwarded, expected in (
            ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
            ("127.0.0.1", "1.2.3.4:5555", "1.2.3.4"),
            ("127.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("127.0.0.1", "unknown", "127.0.0.1"),
            ("127.0.0.1", "1.2.3.4, junk", "127.0.0.1"),
            ("127.0.0.1", "10.1.1.1", "10.1.1.1"),
            ("127.0.0.1", "", "127.0.0.1"),
        ):
            headers = {"x-api-key": "key-a", "x-forwarded-for": forwarded}
            self.assertEqual(edge.ask("GET", "/v1/models", peer=peer, headers=headers).status, 200)
            self.assertEqual(edge.records[-1].peer, expected, (peer, forwarded))

    def test_nobody_is_trusted_by_default(self) -> None:
        """The header is heeded only from proxies that are configured."""
        edge = Edge(KEYS)
        edge.ask("GET", "/v1/models", headers={"x-api-key": "key-a", "x-forwarded-for": "1.2.3.4"})
        self.assertEqual(edge.records[-1].peer, "127.0.0.1")
