"""A call that was answered before asks nobody."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fakes import CHAT, request
from tests.pipeline.caching import DIALECTS, SAID, Caching


def renewed(text: str) -> str:
    """An answer without what is its own: ids, and when it was made."""
    text = re.sub(r"^: .*\n+", "", text, flags=re.MULTILINE)
    text = re.sub(r'"(id|responseId)": ?"[^"]+"', '"id":""', text)
    return re.sub(r'"created(_at)?": ?\d+', '"created":0', text)


class Hits(Caching):
    def test_in_every_dialect(self) -> None:
        """Whole and as streams: the same answer, usage included, under an id of its own."""
        self.begin()
        for name, (whole, streamed, body) in DIALECTS.items():
            for path, more in ((whole, {}), (streamed, {} if name == "gemini" else {"stream": True})):
                first = self.edge.ask(path=path, body=body | more)
                self.edge.reactor.advance(5)
                second = self.edge.ask(path=path, body=body | more)
                self.assertEqual([self.said(first), self.said(second)], ["MISS", "HIT"], path)
                self.assertEqual(renewed(first.body.decode()), renewed(second.body.decode()), path)
                ids = [re.findall(r'"(?:id|responseId)": ?"([^"]+)"', each.body.decode()) for each in (first, second)]
                self.assertNotEqual(ids[0][0], ids[1][0], path)
                self.assertEqual(second.headers["age"], "5")

    def test_what_it_is_told(self) -> None:
        """RFC 9211, and that caches on the way keep nothing; it cost nothing, and would have cost this."""
        self.begin()
        first, second = self.ask(), self.ask()
        self.assertEqual(first.headers["cache-status"], "llmedge; fwd=miss; stored")
        self.assertRegex(second.headers["cache-status"], r"^llmedge; hit; ttl=3\d\d\d; detail=memory$")
        self.assertEqual([each.headers["cache-control"] for each in (first, second)], ["private, no-store"] * 2)
        self.assertEqual(second.headers["x-llmedge-cost-usd"], "0")
        self.assertEqual(second.headers["x-llmedge-cache-saved-usd"], first.headers["x-llmedge-cost-usd"])
        stream = self.ask(stream=True)
        self.assertEqual(stream.headers["cache-control"], "private, no-store")

    def test_its_record(self) -> None:
        """Costs nothing and has no tokens of its own, so that no sum counts them twice."""
        self.begin()
        self.ask()
        self.ask()
        first, second = self.edge.records
        self.assertEqual((second.accounting.usage, second.accounting.cost, second.routing.attempts), (None, 0, []))
        self.assertEqual(second.accounting.spared, first.accounting.usage)
        self.assertEqual(second.accounting.saved, first.accounting.cost)
        self.assertEqual((second.outcome, second.status), ("ok", 200))
        shown = self.edge.ask("GET", "/metrics").body.decode()
        self.assertIn('llm_cache_hit_total{level="memory"} 1.0', shown)
        self.assertIn('llm_cache_miss_total{reason="none"} 1.0', shown)
        self.assertIn("llm_cache_saved_usd_total 9.3e-05", shown)

    def test_until_it_is_too_old(self) -> None:
        self.begin("ttl = 100")
        self.ask()
        self.edge.reactor.advance(89)
        self.assertEqual(self.said(self.ask()), "HIT")
        self.edge.reactor.advance(11)
        self.assertEqual(self.said(self.ask()), "MISS")

    def test_off(self) -> None:
        """No word of it, and nothing in memory."""
        self.edge = self.begin()
        self.edge.service._process._cache = None
        edge = type(self.edge)('[providers.mock]\nvendor = "mock"\n')
        self.assertNotIn("x-llmedge-cache", edge.chat().headers)
        self.assertIsNone(edge.service._process._cache)


class Keys(Caching):
    def test_what_does_not_count(self) -> None:
        """Who the end user is, what is only for the books, the order of members and white space."""
        self.begin()
        self.ask()
        for more in (
            {"user": "somebody"},
            {"metadata": {"a": "b"}},
            {"safety_identifier": "x"},
            {"prompt_cache_key": "k"},
            {"service_tier": "flex"},
            {"store": False},
        ):
            self.assertEqual(self.said(self.ask(**more)), "HIT", more)
        turned = b'{"messages" : [ {"content":"one two three","role":"user"}],"model":"m"}'
        self.assertEqual(self.said(self.edge.ask(body=turned)), "HIT")

    def test_what_counts(self) -> None:
        """Everything else, and what nobody here knows."""
        self.begin()
        self.ask()
        for more in (
            {"temperature": 0.1},
            {"seed": 7},
            {"n": 2},
            {"max_tokens": 9},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"some_new_field": 1},
            {"model": "other"},
            {"messages": [*SAID["messages"], {"role": "user", "content": "more"}]},
            {"stream": True},
        ):
            self.assertEqual(self.said(self.ask(**more)), "MISS", more)
        self.ask(stream=True)
        self.assertEqual(self.said(self.ask(stream=True, stream_options={"include_usage": True})), "MISS")

    def test_heads_count(self) -> None:
        """Beta features, and which targets may be asked."""
        self.begin()
        path, _, body = DIALECTS["messages"]
        for headers in ({}, {"anthropic-beta": "x-2026-01-01"}, {"x-llmedge-no-fallback": "1"}):
            first = self.edge.ask(path=path, body=body, headers=headers)
            self.assertEqual(self.said(first), "MISS", headers)

    def test_what_is_given_once(self) -> None:
        """Answers that go on from what a vendor keeps, sounds, and tools that see a world that changes."""
        self.begin()
        for more in (
            {"store": True},
            {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "mp3"}},
            {"web_search_options": {"user_location": None}},
            {"tools": [{"type": "web_search"}]},
        ):
            self.assertEqual(self.twice(**more), "BYPASS", more)
        path, _, body = DIALECTS["responses"]
        for more in ({"previous_response_id": "resp_1"}, {"background": True}, {"conversation": "conv_1"}):
            self.assertEqual(self.said(self.edge.ask(path=path, body=body | more)), "BYPASS", more)

    def test_two_readings(self) -> None:
        """A member that is there twice may mean one thing here and another to a vendor: others do not get it."""
        double = b'{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}'
        for scope, found in (("shared", "BYPASS"), ("key", "HIT")):
            self.begin(f'scope = "{scope}"')
            self.edge.ask(body=double)
            self.assertEqual(self.said(self.edge.ask(body=double)), found, scope)


KEYS = """
[[auth.keys]]
name = "a"
key = "key-a"
team = "red"
{a}
[[auth.keys]]
name = "b"
key = "key-b"
team = "red"
{b}
[[auth.keys]]
name = "c"
key = "key-c"
"""


class Scopes(Caching):
    def by(self, key: str, **fields: Any) -> str:
        return self.said(self.ask({"authorization": f"Bearer key-{key}"}, **fields))

    def test_among_whom(self) -> None:
        for scope, found in (
            ("key", ["MISS", "MISS", "MISS"]),
            ("team", ["MISS", "HIT", "MISS"]),
            ("shared", ["MISS", "HIT", "HIT"]),
        ):
            self.begin(f'scope = "{scope}"', more=KEYS.format(a="", b=""))
            self.assertEqual([self.by("a"), self.by("b"), self.by("c")], found, scope)

    def test_end_users(self) -> None:
        """Of one key, each by himself, in whichever word he is named."""
        self.begin('scope = "user"', more=KEYS.format(a="", b=""))
        self.assertEqual([self.by("a", user=name) for name in ("x", "y", "x")], ["MISS", "MISS", "HIT"])
        self.assertEqual(self.by("b", user="x"), "MISS")
        self.assertEqual([self.by("a", safety_identifier=name) for name in ("v", "w", "v")], ["MISS", "MISS", "HIT"])
        heads = [{"authorization": "Bearer key-a", "x-llmedge-end-user": name} for name in ("p", "q", "p")]
        self.assertEqual([self.said(self.ask(head)) for head in heads], ["MISS", "MISS", "HIT"])

    def test_written_to_look_like_another(self) -> None:
        """An end user's name that goes on as something else would."""
        self.begin('scope = "user"')
        names = ("u", 'u\nn="x"', '"u"', 7, "7")
        self.assertEqual([self.said(self.ask(metadata={"user_id": name})) for name in names], ["MISS"] * 5)
        self.assertEqual(self.said(self.ask({"x-llmedge-cache-namespace": "x"}, metadata={"user_id": "u"})), "MISS")

    def test_what_keys_and_models_say(self) -> None:
        """The nearest counts; who says no is heard."""
        self.begin(more=KEYS.format(a="cache = false", b='cache = { when = "asked" }'))
        self.assertEqual([self.by("a"), self.by("a"), self.by("b"), self.by("c"), self.by("c")][:2], ["", ""])
        self.assertEqual([self.by("b"), self.by("c")], ["BYPASS", "HIT"])
        self.begin(model="cache = false")
        self.assertEqual(self.twice(), "")
        self.assertEqual(self.twice(model="other"), "HIT")
        self.edge = type(self.edge)(
            '[providers.mock]\nvendor = "mock"\n[models.m]\ntargets = ["mock/x"]\ncache = { ttl = 5 }\n'
            '[models.n]\ntargets = ["mock/x"]\ncache = true\n'
        )
        self.assertEqual([self.twice(), self.twice(model="n")], ["", "HIT"])


class Wishes(Caching):
    def test_cache_control(self) -> None:
        """As RFC 9111 section 5.2.1 has it."""
        self.begin()
        self.ask()
        self.edge.reactor.advance(10)
        for said, found in (
            ("max-age=20", "HIT"),
            ("max-age=5", "MISS"),
            ("no-cache", "REFRESH"),
            ("no-store", "HIT"),
            ("min-fresh=3601", "MISS"),
            ("only-if-cached", "HIT"),
            ("no-transform, x=y", "HIT"),
        ):
            self.begin()
            self.ask()
            self.edge.reactor.advance(10)
            self.assertEqual(self.said(self.ask({"cache-control": said})), found, said)

    def test_only_if_cached(self) -> None:
        self.begin()
        refused = self.ask({"cache-control": "only-if-cached"})
        self.assertEqual((refused.status, json.loads(refused.body)["error"]["code"]), (504, "NOT_CACHED"))
        self.assertEqual(refused.headers["x-should-retry"], "false")

    def test_stale(self) -> None:
        """For who takes it, for as long as it is kept."""
        self.begin("ttl = 10\nstale_if_error = 100")
        self.ask()
        self.edge.reactor.advance(20)
        self.assertEqual(self.said(self.ask({"cache-control": "max-stale=30"})), "HIT")
        self.assertEqual(self.said(self.ask({"cache-control": "max-stale=5"})), "MISS")

    def test_nothing_is_kept(self) -> None:
        self.begin()
        self.assertEqual(self.twice({"cache-control": "no-store"}), "MISS")
        self.assertEqual(self.twice({"x-llmedge-cache": "off"}), "BYPASS")
        self.assertEqual(self.twice({"x-llmedge-cache": "refresh"}), "REFRESH")
        self.assertEqual(self.said(self.ask()), "HIT")  # the refreshed one

    def test_for_how_long(self) -> None:
        """A client may have it shorter, not longer."""
        self.begin("ttl = 100")
        self.ask({"x-llmedge-cache-ttl": "5"})
        self.edge.reactor.advance(6)
        self.assertEqual(self.said(self.ask({"x-llmedge-cache-ttl": "1000"})), "MISS")
        self.edge.reactor.advance(101)
        self.assertEqual(self.said(self.ask()), "MISS")

    def test_namespaces(self) -> None:
        """They narrow, whatever they are called."""
        self.begin()
        self.ask()
        one = {"x-llmedge-cache-namespace": "one"}
        self.assertEqual([self.twice(one), self.said(self.ask(one | {"x-llmedge-cache-namespace": "two"}))][1], "MISS")
        self.assertEqual(self.said(self.ask(one)), "HIT")
        self.assertEqual(self.said(self.ask(cache={"namespace": "one"})), "HIT")

    def test_in_the_body(self) -> None:
        """LiteLLM's field is understood, and no vendor sees it."""
        self.begin()
        self.assertEqual(self.said(self.ask(cache={"ttl": 5})), "MISS")
        self.assertEqual(self.said(self.ask(cache={"no-cache": True})), "REFRESH")
        self.assertEqual(self.said(self.ask(cache={"s-maxage": 100})), "HIT")
        self.edge.reactor.advance(6)
        self.assertEqual(self.said(self.ask(cache={"no-store": True})), "HIT")  # refreshed since
        self.assertEqual(self.said(self.ask(cache="nonsense")), "HIT")
        self.assertEqual(self.said(self.ask(cache={"no-cache": True, "no-store": True})), "BYPASS")

    def test_in_the_body_otherwise(self) -> None:
        """Numbers as texts and the like are read; of who says that nothing be kept, nothing is."""
        self.begin()
        self.ask(cache={"no-store": True, "ttl": "60", "s-maxage": None})
        self.assertEqual(self.said(self.ask(cache={"no-store": "true"})), "MISS")
        long = "x" * 128
        self.ask(cache={"namespace": f"{long}1"})
        self.assertEqual(self.said(self.ask(cache={"namespace": f"{long}2"})), "MISS")

    def test_in_several_lines(self) -> None:
        """Which are one list (RFC 9110 section 5.3)."""
        self.begin()
        self.ask()
        wire = self.edge.wire()
        sent = request(body=CHAT | {"model": "m"}, headers={"cache-control": "no-cache"})
        wire.send(sent.replace(b"\r\ncache-control", b"\r\nCache-Control: no-cache\r\nCache-Control: max-age=9\r\nx-x"))
        self.assertEqual(self.said(wire.response()), "REFRESH")

    def test_when(self) -> None:
        self.begin('when = "asked"')
        self.assertEqual(self.twice(), "BYPASS")
        self.assertEqual(
            [self.twice({"x-llmedge-cache": "on"}), self.twice({"cache-control": "max-age=9"})], ["HIT"] * 2
        )
        self.begin('when = "deterministic"')
        found = [self.twice(**more) for more in ({}, {"temperature": 0.5}, {"temperature": 0}, {"seed": 1})]
        self.assertEqual(found, ["BYPASS", "BYPASS", "HIT", "HIT"])
        path, _, body = DIALECTS["gemini"]
        for settings, expected in (({"temperature": 0.0}, "HIT"), ({"temperature": 1}, "BYPASS")):
            for _ in range(2):
                last = self.edge.ask(path=path, body=body | {"generationConfig": settings})
            self.assertEqual(self.said(last), expected)

    def test_nonsense(self) -> None:
        self.begin()
        for name, value in (
            ("x-llmedge-cache", "maybe"),
            ("x-llmedge-cache-ttl", "soon"),
            ("x-llmedge-cache-namespace", "x" * 129),
        ):
            self.assertEqual(self.ask({name: value}).status, 400, name)


class Large(Caching):
    def test_in_a_thread(self) -> None:
        """What a large body is equal to is found out aside, and it is found."""
        self.begin()
        much = [{"role": "user", "content": "word " * 60000}]
        for found in ("MISS", "HIT"):
            wire = self.send(messages=much)
            for _ in range(200):
                self.edge.reactor.advance(0)
                if wire.received():
                    break
            self.assertEqual(self.said(wire.response()), found)


class Charged(Caching):
    def test_a_budget(self) -> None:
        """A hit takes nothing of it, or what the answer would have cost, until that is spent."""
        key = '[[auth.keys]]\nname = "a"\nkey = "key-a"\nbudgets = [{amount = 0.0002, period = "total"}]\n'
        limit = "[models.m.capabilities]\nmax_output = 10\n"
        for charge, statuses, spent in (("none", [200] * 4, 93), ("full", [200, 200, 429, 429], 186)):
            self.begin(f'charge = "{charge}"', more=key + limit)
            ask = [self.ask({"x-api-key": "key-a"}, max_tokens=9).status for _ in range(4)]
            self.assertEqual(ask, statuses, charge)
            (fund,) = self.edge.service._process.allowances.funds.values()
            self.assertEqual((fund.spent, fund.held), (spent * 1_000_000, 0), charge)
            self.assertEqual(sum(each.accounting.cost or 0 for each in self.edge.records), spent * 1_000_000)
            shown = self.edge.ask("GET", "/metrics").body.decode()
            of_caller = re.search(r'(?m)^llm_caller_cost_usd_total\{caller="a"\} (.*)$', shown)
            assert of_caller is not None
            self.assertEqual(round(float(of_caller[1]) * 1e6), spent, charge)
