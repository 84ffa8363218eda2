"""Whatever is asked by whomever, nobody has another one's answer."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from twisted.trial.unittest import SynchronousTestCase

from tests.effort import examples
from tests.fakes import CHAT, Edge
from tests.pipeline.caching import TOML

KEYS = "".join(
    f'[[auth.keys]]\nname = "{name}"\nkey = "key-{name}"\n{team}\n'
    for name, team in (("a", 'team = "red"'), ("b", 'team = "red"'), ("c", 'team = "blue"'), ("d", ""))
)
TEAMS = {"a": "red", "b": "red", "c": "blue", "d": "d"}
NAMES = ("a", "b", "c", "d")


class Walls(RuleBasedStateMachine):
    """Each answer is remembered with who may have it: what is served from the cache has to be one of these."""

    @initialize(scope=st.sampled_from(("key", "team", "user", "shared")), ttl=st.sampled_from((10, 1000)))
    def begin(self, scope: str, ttl: int) -> None:
        self.edge = Edge(TOML.format(cache=f'scope = "{scope}"\nttl = {ttl}', provider="", model="", more=KEYS))
        self.scope, self.ttl = scope, ttl
        self.made: dict[tuple[Any, ...], float] = {}

    @rule(
        who=st.sampled_from(NAMES),
        words=st.sampled_from(("one", "two")),
        model=st.sampled_from(("m", "other")),
        namespace=st.sampled_from(("", "n")),
        stream=st.booleans(),
        user=st.sampled_from(("", "u", "v")),
        seed=st.sampled_from((None, 1)),
    )
    def ask(self, who: str, words: str, model: str, namespace: str, stream: bool, user: str, seed: int | None) -> None:
        body = CHAT | {"model": model, "messages": [{"role": "user", "content": words}]}
        body |= {"stream": True} if stream else {}
        body |= {"user": user} if user else {}
        body |= {} if seed is None else {"seed": seed}
        headers = {"x-api-key": f"key-{who}"} | ({"x-llmedge-cache-namespace": namespace} if namespace else {})
        response = self.edge.ask(body=body, headers=headers)
        assert response.status == 200, response.body
        assert words.encode() in response.body
        whose = {"key": who, "team": TEAMS[who], "user": (who, user), "shared": ""}[self.scope]
        what = (whose, words, model, namespace, stream, seed)
        now = self.edge.reactor.seconds()
        if response.headers["x-llmedge-cache"] == "HIT":
            assert what in self.made, "another one's"
            assert now - self.made[what] < self.ttl, "too old"
        else:
            assert response.headers["x-llmedge-cache"] == "MISS"
            self.made[what] = now

    @rule(seconds=st.sampled_from((1, 9, 500)))
    def wait(self, seconds: float) -> None:
        self.edge.reactor.advance(seconds)

    @rule(of=st.sampled_from(("all", "model:m", "namespace:n")))
    def purge(self, of: str) -> None:
        self.edge.service._process._cache.generations.bump(of)
        gone = {"model:m": lambda what: what[2] == "m", "namespace:n": lambda what: what[3] == "n"}
        self.made = {what: at for what, at in self.made.items() if of in gone and not gone[of](what)}


class Machine(SynchronousTestCase):
    def test_walls(self) -> None:
        how = settings(
            max_examples=examples(25), stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        Walls.TestCase.settings = how
        Walls.TestCase("runTest").runTest()
