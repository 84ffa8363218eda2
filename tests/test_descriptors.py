import resource

from twisted.trial.unittest import SynchronousTestCase

from llmedge.descriptors import raise_limit, shortage
from tests.fakes import settings


class Descriptors(SynchronousTestCase):
    def limit(self, soft: int, hard: int, refused: bool = False) -> tuple[int, list[tuple[int, int]]]:
        """What :func:`raise_limit` says, and what it set."""
        asked: list[tuple[int, int]] = []

        def set_limit(which: int, limits: tuple[int, int]) -> None:
            asked.append(limits)
            if refused:
                raise ValueError

        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", set_limit)
        return raise_limit(), asked

    def test_as_many_as_there_may_be(self) -> None:
        self.assertEqual(self.limit(1024, 20000), (20000, [(20000, 20000)]))
        self.assertEqual(self.limit(20000, 20000), (20000, []))
        self.assertEqual(self.limit(1024, resource.RLIM_INFINITY, refused=True)[0], 1024)

    def test_too_few(self) -> None:
        """The operator is told before clients find out, and what to do."""
        chosen = settings("[server]\nmax_connections = 3000\n[upstream]\nmax_connections = 500\n")
        self.assertEqual(shortage(4000, chosen), "")
        self.assertEqual(shortage(resource.RLIM_INFINITY, chosen), "")
        said = shortage(1024, chosen)
        for words in ("1024", "server.max_connections", "upstream.max_connections", "ulimit"):
            self.assertIn(words, said)
