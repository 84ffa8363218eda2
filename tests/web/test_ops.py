"""What operators ask: health, and the index."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge import __version__
from tests.fakes import Edge


class Health(SynchronousTestCase):
    def test_shape(self) -> None:
        """All three answer with status, timestamp and version."""
        edge = Edge()
        for path in ("/health", "/health/ready", "/health/live"):
            response = edge.ask("GET", path)
            self.assertEqual(response.status, 200)
            expected = {"status": "healthy", "timestamp": "2023-11-14T22:13:20Z", "version": __version__}
            self.assertEqual(response.json(), expected)

    def test_head(self) -> None:
        """The status, without a body."""
        response = Edge().ask("HEAD", "/health")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_index_points_to_the_docs(self) -> None:
        """Whoever opens the address finds them."""
        self.assertIn("docs", Edge().ask("GET", "/").json())

    def test_stopping(self) -> None:
        """Ready goes 503 while the service stops; live stays."""
        edge = Edge()
        edge.service._stopping = True
        self.assertEqual(edge.ask("GET", "/health/ready").status, 503)
        self.assertEqual(edge.ask("GET", "/health/live").status, 200)
