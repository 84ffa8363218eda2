from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.model import Target, Usage
from llmedge.money import USD
from llmedge.observe import metrics as metrics_module
from llmedge.observe.metrics import Metrics
from llmedge.record import PROMPT_CACHE_SAVED, Attempt, Record
from tests.fakes import CHAT, Edge, request, settings

KEYS = '[[auth.keys]]\nname = "a"\nkey = "key-a"\n'
A = {"x-api-key": "key-a"}


def samples(edge: Edge) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = edge.ask("GET", "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


def value(found: dict, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


class Exposition(SynchronousTestCase):
    def test_names(self) -> None:
        """The names of Layer 1 are there from the start, zero where nothing happened."""
        edge = Edge()
        found = samples(edge)
        self.assertEqual(value(found, "llm_cache_hit_total", level="memory"), 0)
        self.assertEqual(value(found, "llm_requests_in_flight"), 0)
        self.assertEqual(value(found, "llm_rate_limited_total", scope="key"), 0)
        self.assertEqual(value(found, "llm_build_info", version="0.1.0"), 1)
        edge.service.startService()
        edge.reactor.advance(1)
        self.assertEqual(value(samples(edge), "llm_reactor_tick_delay_seconds_count"), 1)

    def test_a_call(self) -> None:
        """One call is counted once in each of them."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["mock-*"]\nlatency = 2\n')
        for stream in (False, True):
            wire = edge.wire()
            wire.send(request(body=CHAT | {"stream": stream}))
            edge.reactor.advance(2)
        found = samples(edge)
        call = {"operation": "chat", "provider": "m", "model": "mock-*"}
        self.assertEqual(value(found, "llm_requests_total", status="200", **call), 2)
        self.assertEqual(value(found, "llm_request_duration_seconds_sum", **call), 4.0)
        self.assertEqual(value(found, "llm_overhead_seconds_sum", **call), 0.0)
        self.assertEqual(value(found, "llm_time_to_first_token_seconds_count", **call), 2)
        self.assertEqual(value(found, "llm_tokens_total", kind="input", **call), 6)
        self.assertEqual(value(found, "llm_tokens_total", kind="output", **call), 18)
        self.assertEqual(value(found, "llm_upstream_attempts_total", provider="m", outcome="ok"), 2)
        self.assertEqual(value(found, "llm_streams_total", outcome="ok"), 1)

    def test_costs(self) -> None:
        """USD by model and caller; what has no price is counted apart."""
        prices = '[prices."m/x"]\ninput = 1\noutput = 2\n[prices."m/y"]\nimage = 1\n'
        edge = Edge(f'{KEYS}[providers.m]\ndialect = "mock"\nmodels = ["*"]\n{prices}')
        for model in ("m/x", "m/x", "m/y"):
            edge.ask(body=CHAT | {"model": model}, headers=A)
        call = {"operation": "chat", "provider": "m", "model": "m/*"}
        found = samples(edge)
        self.assertAlmostEqual(value(found, "llm_cost_usd_total", caller="a", **call), 2 * 0.000021)
        self.assertEqual(value(found, "llm_cost_unknown_total", **call), 1)
        self.assertIsNone(value(found, "llm_usage_estimated_total", **call))

    def test_by_caller(self) -> None:
        """At 0 as soon as a key is configured, so that no first call is missing; in all, what the others say."""
        toml = KEYS + '[providers.m]\ndialect = "mock"\n[prices."m/x"]\ninput = 1\noutput = 2\n'
        edge = Edge(toml)
        names = ("llm_caller_requests_total", "llm_caller_cost_usd_total")
        found = samples(edge)
        self.assertEqual([value(found, name, caller="a") for name in names], [0, 0])
        kinds = ("input", "output")
        self.assertEqual([value(found, "llm_caller_tokens_total", caller="a", kind=kind) for kind in kinds], [0, 0])
        for model, headers in (("m/x", A), ("m/y", A), ("nowhere", A), ("m/x", {"x-api-key": "wrong"})):
            edge.ask(body=CHAT | {"model": model}, headers=headers)
        found = samples(edge)
        self.assertEqual(value(found, names[0], caller="a"), 3)
        self.assertAlmostEqual(value(found, names[1], caller="a"), 0.000021)
        self.assertEqual([value(found, "llm_caller_tokens_total", caller="a", kind=kind) for kind in kinds], [6, 18])
        self.assertEqual({dict(labels).get("caller") for name, labels in found if "_caller_" in name}, {"a"})
        more = KEYS + '[[auth.keys]]\nname = "b"\nkey = "key-b"\n'
        edge.service._reload = lambda: settings(toml.replace(KEYS, more))
        self.successResultOf(Deferred.fromCoroutine(edge.service.reload()))
        found = samples(edge)
        self.assertEqual([value(found, names[0], caller=name) for name in "ab"], [3, 0])

    def test_nobody_in_particular(self) -> None:
        """Without keys all are one caller."""
        keyed = KEYS + "[auth]\nenabled = false\n"
        for toml in ("", keyed):
            edge = Edge(toml)
            self.assertEqual(value(samples(edge), "llm_caller_requests_total", caller="anonymous"), 0)
            edge.ask(body=CHAT)
            self.assertEqual(value(samples(edge), "llm_caller_requests_total", caller="anonymous"), 1)
            self.assertIsNone(value(samples(edge), "llm_caller_requests_total", caller="a"))

    def test_costs_to_the_last_digit(self) -> None:
        """However large the sum is, what one call adds shows; labels are escaped as Prometheus has it."""
        metrics = Metrics(CollectorRegistry())
        record = Record("r", "POST", "/", "", 0.0, operation="chat", caller='a"\\\n', model_label="m", ended=1.0)
        record.routing.attempts.append(attempt := Attempt(Target("v", "m"), 0.0))
        for cost in (123_456_789_000_000_000_000, 1, 1):
            attempt.cost = cost
            metrics(record)
        lines = [each for each in metrics.render().decode().splitlines() if "llm_cost_usd_total" in each]
        self.assertEqual(
            lines,
            [
                "# HELP llm_cost_usd_total What answers and attempts in vain cost, in USD.",
                "# TYPE llm_cost_usd_total counter",
                'llm_cost_usd_total{operation="chat",provider="v",model="m",caller="a\\"\\\\\\n"} '
                "123456789.000000000002",
            ],
        )

    def test_in_vain(self) -> None:
        """What a vendor was put to work for whose answer nobody waited for: a client that left, a deadline, a race."""
        toml = (
            "[routing]\nretries = 0\nhedge = {after = 0.5}\n"
            '[providers.m]\ndialect = "mock"\nlatency = 2\n[providers.n]\ndialect = "mock"\n'
            '[models.alone]\ntargets = ["m/x"]\n[models.both]\ntargets = ["m/x", "n/x"]\n'
            '[prices."*/*"]\ninput = 1000000\noutput = 0\n[server]\ntimeout = 1\n'
        )
        edge = Edge(toml)
        m = {"operation": "chat", "provider": "m", "model": "alone"}
        for count, leaves in ((1, True), (2, False)):
            wire = edge.wire()
            wire.send(request(body=CHAT | {"model": "alone"}))
            edge.reactor.advance(0.5)
            if leaves:
                wire.leave()
            edge.reactor.advance(0.6)
            found = samples(edge)
            tokens = value(found, "llm_tokens_total", kind="input", **m)
            self.assertTrue(tokens)
            self.assertEqual(value(found, "llm_cost_usd_total", caller="anonymous", **m), tokens)
            self.assertEqual(value(found, "llm_usage_estimated_total", **m), count)
            self.assertEqual(value(found, "llm_caller_cost_usd_total", caller="anonymous"), tokens)
        wire = edge.wire()
        wire.send(request(body=CHAT | {"model": "both"}))
        edge.reactor.advance(0.5)
        edge.reactor.advance(0.1)
        self.assertEqual(wire.response().status, 200)
        found = samples(edge)
        labels = {"operation": "chat", "model": "both"}
        lost, taken = (value(found, "llm_tokens_total", kind="input", provider=name, **labels) for name in "mn")
        assert lost is not None
        assert taken is not None
        for provider, cost in (("m", lost), ("n", taken)):  # each at its own
            costs = labels | {"provider": provider}
            self.assertEqual(value(found, "llm_cost_usd_total", caller="anonymous", **costs), cost)
        self.assertIsNone(value(found, "llm_usage_estimated_total", provider="n", **labels))
        total = value(found, "llm_caller_tokens_total", caller="anonymous", kind="input")
        self.assertEqual(total, lost + taken + (value(found, "llm_tokens_total", kind="input", **m) or 0))

    def test_token_kinds(self) -> None:
        """Each kind of token has its series, and estimates are counted."""
        registry = CollectorRegistry()
        record = Record("id", "POST", "/", "peer", 0.0, operation="chat")
        made = Attempt(Target("p", "m"), 0.0, usage=Usage(100, 50, 10, 20, 30, 5, 7, 8, estimated=True))
        record.routing.attempts = [made]
        Metrics(registry)(record)
        labels = {"operation": "chat", "provider": "p", "model": "other"}
        for kind, count in {
            "cached": 10,
            "reasoning": 20,
            "cache_write": 30,
            "audio_input": 7,
            "audio_output": 8,
        }.items():
            self.assertEqual(registry.get_sample_value("llm_tokens_total", labels | {"kind": kind}), count, kind)
        self.assertEqual(registry.get_sample_value("llm_usage_estimated_total", labels), 1)

    def test_prompt_caches(self) -> None:
        """What they saved and what they cost more are two counters: neither ever falls."""
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        for saved in (0.5, -0.125, 0.25, None):
            record = Record("id", "POST", "/", "peer", 0.0, operation="chat")
            record.routing.attempts = [Attempt(Target("p", "m"), 0.0, usage=Usage(100, 50, cached=10))]
            if saved is not None:
                record.facts = {PROMPT_CACHE_SAVED: saved}
            metrics(record)
        labels = {"operation": "chat", "provider": "p", "model": "other"}
        for name, sum_of in (("saved", 0.75), ("extra", 0.125)):
            self.assertEqual(registry.get_sample_value(f"llm_prompt_cache_{name}_usd_total", labels), sum_of)

    def test_deployments(self) -> None:
        """State, load and limit as they are when somebody looks; attempts by outcome; configured targets by name."""
        toml = (
            '[routing]\nretries = 0\nhedge = "off"\n[rate_limit]\nenabled = false\n'
            '[providers.m]\ndialect = "mock"\nlatency = 2\n'
            '[providers.bad]\ndialect = "mock"\nfault = "status"\n'
            '[models.good]\ntargets = [{target = "m/x", max_concurrency = 1}]\n[models.bad]\ntargets = ["bad/x"]\n'
        )
        edge = Edge(toml)
        wires = [edge.wire() for _ in range(2)]
        for wire in wires:
            wire.send(request(body=CHAT | {"model": "good"}))
        found = samples(edge)
        self.assertEqual(value(found, "llm_deployment_in_flight", deployment="m/x"), 1)
        self.assertEqual(value(found, "llm_deployment_limit", deployment="m/x"), 1)
        edge.reactor.advance(2)
        edge.reactor.advance(2)
        for _ in range(7):
            edge.chat(model="bad")
        for number in range(20):
            edge.chat(model=f"bad/invented-{number}")
        found = samples(edge)
        self.assertEqual(value(found, "llm_deployment_in_flight", deployment="m/x"), 0)
        self.assertEqual(value(found, "llm_deployment_state", deployment="m/x"), 0)
        self.assertEqual(value(found, "llm_deployment_state", deployment="bad/x"), 2)
        self.assertEqual(value(found, "llm_deployment_attempts_total", deployment="m/x", outcome="ok"), 2)
        self.assertEqual(value(found, "llm_deployment_attempts_total", deployment="bad/x", outcome="status"), 5)
        self.assertEqual(value(found, "llm_deployment_attempts_total", deployment="bad/*", outcome="status"), 20)
        self.assertEqual(value(found, "llm_deployment_queue_seconds_count", deployment="m/x"), 1)
        self.assertEqual(value(found, "llm_deployment_queue_seconds_sum", deployment="m/x"), 2.0)
        names = {labels for name, labels in found if name == "llm_deployment_state"}
        self.assertEqual(names, {(("deployment", name),) for name in ("m/x", "bad/x", "bad/*")})

    def test_waits_in_vain(self) -> None:
        """A call that waited for a place and got none has waited, too."""
        target = '[models.good]\ntargets = [{target = "m/x", max_concurrency = 1}]\n'
        edge = Edge('[providers.m]\ndialect = "mock"\nlatency = 9\n[routing]\nqueue_wait = 1\n' + target)
        for wire in [edge.wire() for _ in range(2)]:
            wire.send(request(body=CHAT | {"model": "good"}))
        edge.reactor.advance(1.5)
        found = samples(edge)
        self.assertEqual(value(found, "llm_deployment_queue_seconds_count", deployment="m/x"), 1)
        self.assertGreaterEqual(value(found, "llm_deployment_queue_seconds_sum", deployment="m/x") or 0.0, 1.0)

    def test_refusals(self) -> None:
        edge = Edge(KEYS + "[rate_limit]\nburst = 1\n")
        edge.ask(body=CHAT)
        edge.ask(body=CHAT, headers=A)
        edge.ask(body=CHAT, headers=A)
        found = samples(edge)
        self.assertEqual(value(found, "llm_errors_total", code="AUTH_ERROR"), 1)
        self.assertEqual(value(found, "llm_errors_total", code="RATE_LIMIT_ERROR"), 1)
        self.assertEqual(value(found, "llm_rate_limited_total", scope="global"), 1)

    def test_labels_are_bounded(self) -> None:
        """Whatever clients invent - models, paths, methods - no new series appears."""
        toml = '[rate_limit]\nenabled = false\n[providers.p]\ndialect = "mock"\n[models.known]\ntargets = ["p/x"]\n'
        edge = Edge(toml)
        edge.chat(model="known")
        edge.chat(model="unknown")
        edge.chat(model="p/first")
        edge.ask("GET", "/v1/nope")
        before = set(samples(edge))
        for number in range(50):
            edge.chat(model=f"unknown-{number}")
            edge.chat(model=f"p/invented-{number}")
            edge.ask("GET", f"/v1/{number}")
            edge.ask(f"M{number}", "/v1/chat/completions")
        self.assertEqual(set(samples(edge)), before)
        self.assertIn("other", {dict(labels).get("model") for _, labels in before})

    def test_off(self) -> None:
        self.assertEqual(Edge("", {"ENABLE_METRICS": "false"}).ask("GET", "/metrics").status, 404)


class Callers(SynchronousTestCase):
    def test_bounded(self) -> None:
        """An issuer may have any number of subjects: those beyond are one, and nothing is lost of what they cost."""
        self.patch(metrics_module, "CALLERS", 2)
        metrics = Metrics(CollectorRegistry())
        for caller in ("a", "b", "c", "d", "a", "c"):
            for model in ("m", "n"):
                record = Record("r", "POST", "/v1/chat/completions", "::1", 0.0, "chat", caller=caller)
                record.model_label, record.ended = model, 1.0
                for cost in (1, 2):
                    record.routing.attempts.append(Attempt(Target("p", model), 0.0, cost=cost * USD, ended=1.0))
                record.routing.answered_by = record.routing.attempts[0]
                metrics(record)
        self.assertEqual({key[3] for key in metrics._children}, {"a", "b", "other"})
        text = metrics.render().decode()
        for caller, count in (("a", 2), ("b", 1), ("other", 3)):
            self.assertIn(f'llm_caller_requests_total{{caller="{caller}"}} {2.0 * count}', text)
            self.assertIn(f'llm_caller_cost_usd_total{{caller="{caller}"}} {6 * count}\n', text)
        self.assertNotIn('caller="c"', text)
