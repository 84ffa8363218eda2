"""The cache, as operators see it; and what it spares, as the books have it."""

from __future__ import annotations

from tests.admin.administration import ADMIN, TOML, Administration
from tests.fakes import CHAT, Edge


class Cached(Administration):
    toml = '[cache]\nenabled = true\n[models.m]\ntargets = ["mock/x"]\n[models.n]\ntargets = ["mock/y"]\n'

    def found(self, key: str, model: str = "m", namespace: str = "") -> str:
        """What the cache does with a question of ``key``'s."""
        headers = {"x-api-key": key} | ({"x-llmedge-cache-namespace": namespace} if namespace else {})
        return self.edge.ask(body=CHAT | {"model": model}, headers=headers).headers["x-llmedge-cache"]

    def purge(self, **what: object) -> None:
        done = self.done("POST", "/admin/v1/cache/purge", what)
        self.assertTrue(done["everywhere"])

    def test_purge(self) -> None:
        """Only answers of all that is given together."""
        first, other = (self.key(name)["key"] for name in ("first", "other"))

        def all_found() -> list[str]:
            asked = ((first, "m", ""), (first, "m", "x"), (first, "n", ""), (other, "m", ""))
            return [self.found(*each)[0] for each in asked]

        self.assertEqual((all_found(), all_found()), (list("MMMM"), list("HHHH")))
        for what, expected in (
            ({"model": "n"}, "HHMH"),
            ({"namespace": "x"}, "HMHH"),
            ({"key": "other"}, "HHHM"),
            ({"key": "first", "model": "m"}, "MMHH"),
            ({"model": "m", "namespace": "x"}, "HMHH"),
            ({"all": True}, "MMMM"),
            ({"scope": "shared"}, "HHHH"),
        ):
            self.purge(**what)
            self.assertEqual(all_found(), list(expected), what)
        actions = [each["action"] for each in self.done("GET", "/admin/v1/audit")["data"]]
        self.assertEqual(actions.count("cache.purge"), 7)
        (line,) = self.done("GET", "/admin/v1/audit?id=namespace:x")["data"]
        self.assertEqual((line["action"], line["team"]), ("cache.purge", ""))

    def test_purge_of_end_users(self) -> None:
        """A key's, where each end user has his own."""
        self.edge = Edge(TOML + self.toml.replace("enabled", 'scope = "user"\nenabled'), {"LLMEDGE_ADMIN_KEY": ADMIN})
        self.purge_of({"key": "anonymous"})

    def test_purge_of_a_pattern(self) -> None:
        """A model's by the name that clients call it, or the whole pattern's."""
        toml = self.toml + '[models."p-*"]\ntargets = ["mock/*"]\n'
        self.edge = Edge(TOML + toml, {"LLMEDGE_ADMIN_KEY": ADMIN})
        self.purge_of({"model": "p-1"}, "p-1")
        self.purge_of({"model": "p-*"}, "p-1")

    def purge_of(self, what: dict[str, str], model: str = "m") -> None:
        found = []
        for _ in range(2):
            found += [self.edge.ask(body=CHAT | {"model": model}).headers["x-llmedge-cache"] for _ in range(2)]
            self.done("POST", "/admin/v1/cache/purge", what)
        self.assertEqual(found[1:3], ["HIT", "MISS"])

    def test_what_is_no_purge(self) -> None:
        for what in ({}, {"al": True}, {"all": True, "model": "m"}, {"scope": "key:x", "key": "y"}, {"model": 5}, []):
            self.assertEqual(self.refused("POST", "/admin/v1/cache/purge", what)[0], 400, what)

    def test_a_key_that_nobody_has(self) -> None:
        """Who mistypes a name is not told that its answers are forgotten."""
        status, message = self.refused("POST", "/admin/v1/cache/purge", {"key": "ap"})
        self.assertEqual((status, "'ap'" in message), (404, True))
        for id in ("anonymous", "jwt:https://issuer.example|anna", "spiffe://example.org/a"):
            self.purge(key=id)

    def test_how_it_stands(self) -> None:
        secret = self.key("app")["key"]
        self.found(secret)
        self.found(secret)
        shown = self.done("GET", "/admin/v1/cache")
        self.assertEqual((shown["entries"], shown["saved_usd"]), (1, "0.000093"))
        self.assertEqual(self.done("GET", "/admin/v1/state")["cache"]["entries"], 1)

    def test_who_may(self) -> None:
        viewer = self.key("viewer", roles=["viewer"])["key"]
        self.done("GET", "/admin/v1/cache", key=viewer)
        self.assertEqual(self.refused("POST", "/admin/v1/cache/purge", {"all": True}, key=viewer)[0], 403)

    def test_the_books(self) -> None:
        """A hit costs nothing, has its tokens apart, and what it saved."""
        secret = self.key("app")["key"]
        for _ in range(3):
            self.found(secret)
        total = self.done("GET", "/admin/v1/spend?by=key")["total"]
        shown = {name: total[name] for name in ("calls", "cache_hits", "cost_usd", "saved_usd", "input_tokens")}
        self.assertEqual(
            shown, {"calls": 3, "cache_hits": 2, "cost_usd": "0.000093", "saved_usd": "0.000186", "input_tokens": 3}
        )
        self.assertEqual((total["spared_input_tokens"], total["spared_output_tokens"]), (6, 18))
        calls = self.done("GET", "/admin/v1/calls")["data"]
        self.assertEqual(sorted(each["cache"] for each in calls), ["HIT", "HIT", "MISS"])
        self.assertEqual({each["cost_usd"] for each in calls if each["cache"] == "HIT"}, {"0"})


class Without(Administration):
    def test_nothing_is_cached(self) -> None:
        self.assertEqual(self.refused("GET", "/admin/v1/cache")[0], 404)
        self.assertIsNone(self.done("GET", "/admin/v1/state")["cache"])

    def test_no_store(self) -> None:
        """Keys of the file are found by their names."""
        toml = TOML + Cached.toml + '[[auth.keys]]\nname = "a"\nkey = "key-a"\n'
        self.edge = Edge(toml, {"LLMEDGE_ADMIN_KEY": ADMIN})
        found = [Cached.found(self, "key-a") for _ in range(2)]  # type: ignore[arg-type]
        self.done("POST", "/admin/v1/cache/purge", {"key": "a"})
        found.append(Cached.found(self, "key-a"))  # type: ignore[arg-type]
        self.assertEqual(found, ["MISS", "HIT", "MISS"])
