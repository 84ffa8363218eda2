from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.generations import EPOCH, Generations


class Marks(SynchronousTestCase):
    def setUp(self) -> None:
        self.generations = Generations()

    def of(self, *names: str) -> bytes:
        scope, model, namespace = names or ("key:a", "gpt", "")
        return self.generations.of(scope, model, namespace)

    def test_what_is_purged_is_anothers(self) -> None:
        """All by one name, and nothing else."""
        for name, others in (
            ("all", ()),
            ("scope:key:a", (("key:b", "gpt", ""),)),
            ("model:gpt", (("key:a", "o3", ""),)),
            ("namespace:n", (("key:a", "gpt", ""),)),
        ):
            self.generations.bump("model:unrelated")
            mine = ("key:a", "gpt", "n")
            before = [self.of(*each) for each in (mine, *others)]
            self.assertTrue(self.successResultOf(self.generations.bump(name)))
            after = [self.of(*each) for each in (mine, *others)]
            self.assertEqual(
                [one == two for one, two in zip(before, after, strict=True)], [False] + [True] * len(others)
            )

    def test_it_never_comes_back(self) -> None:
        seen = set()
        for _ in range(20):
            seen.add(self.of())
            self.generations.bump("all")
        self.assertEqual(len(seen), 20)

    def test_what_others_have_purged(self) -> None:
        self.generations.learn({EPOCH: b"e1"})
        first = self.of()
        self.generations.learn({EPOCH: b"e1", "all": b"1"})
        second = self.of()
        self.generations.learn({EPOCH: b"e2"})
        self.assertEqual(len({first, second, self.of()}), 3)

    def test_others_are_told(self) -> None:
        told: list[str] = []
        waiting: Deferred[bool] = Deferred()

        async def bump(name: str) -> bool:
            told.append(name)
            return await waiting

        self.generations.share(bump)
        know = self.generations.bump("all")
        self.assertEqual(told, ["all"])
        self.assertNoResult(know)
        waiting.callback(False)
        self.assertFalse(self.successResultOf(know))
        self.generations.share(None)
        self.generations.bump("all")
        self.assertEqual(told, ["all"])
