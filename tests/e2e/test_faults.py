"""Every row of the table of what went wrong (pipeline/verdicts.py), on the real service over real sockets."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet import ssl
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.trial.unittest import TestCase

from llmedge.pipeline.plan import BRIEFLY
from llmedge.pipeline.verdicts import VERDICTS, Next
from tests.e2e.certificates import Authority
from tests.e2e.client import Client, reactor
from tests.e2e.faults import BEFORE, TEXT, USAGE, WORDS, Deaf, FaultServer, well
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, free_port, until
from tests.e2e.vendor import Asked, Vendor
from tests.fakes import Response, request

RETRIES = 1
WAIT = 4.0
"""Seconds that are waited for a vendor that does not go on, by those who ask one."""
SETTINGS = f"""
[routing]
retries = {RETRIES}
retry_base = 0.05
retry_ratio = 10
retry_after_max = 3
breaker_failures = 1000
breaker_rate = 2
[upstream]
max_response_size = 65536
max_event_size = 65536
"""


def limits(seconds: float) -> str:
    """The lines of ``[upstream]`` for a wait of so many seconds, whatever for."""
    names = ("connect", "first_byte", "first_token", "idle")
    return "".join(f"{name}_timeout = {seconds}\n" for name in names)


@attrs.frozen
class Row:
    """One way to fail.

    :ivar cause: its row in VERDICTS.
    :ivar fault: what the vendor does (tests/e2e/faults.py), or the provider's name where it is below HTTP.
    :ivar status: what a client gets where nobody else can be asked, with ``code``.
    :ivar how: ``both``, or only one of ``stream`` and ``whole``.
    :ivar later: words had been said before: a stream that begins and breaks.
    :ivar recovers: the second attempt is answered well, this many seconds after the first or more.
    :ivar retry_after: what the client is told, and then nothing is asked again.
    """

    cause: str
    fault: str
    status: int = 502
    code: str = "UPSTREAM_ERROR"
    how: str = "both"
    later: bool = False
    recovers: float | None = None
    retry_after: int | None = None

    @property
    def waits(self) -> bool:
        """It is one of our limits that ends the attempt."""
        return self.cause in ("connect", "silent", "stall")

    @property
    def below(self) -> bool:
        """It fails before the vendor gets a request."""
        return self.fault in ("refused", "dns", "tls", "proxy", "deaf")


TABLE = [
    Row("refused", "refused"),
    Row("dns", "dns"),
    Row("tls", "tls"),
    Row("proxy", "proxy"),
    Row("connect", "deaf"),
    Row("reset", "reset"),
    Row("reset", "half-a-head-then-cut"),
    Row("silent", "silence", 504, "TIMEOUT_ERROR"),
    Row("silent", "half-a-head", 504, "TIMEOUT_ERROR"),
    Row("silent", "role-then-silence", 504, "TIMEOUT_ERROR", "stream"),
    Row("status_408", "408"),
    Row("status_409", "409", 409),
    Row("status_425", "425"),
    Row("status_429", "429", 429, "RATE_LIMIT_ERROR"),
    Row("status_429", "429-1s", recovers=1.0),
    Row("status_429", "429-ms", recovers=0.4),
    Row("status_429", "429-date", recovers=0.9),  # a date has whole seconds
    Row("status_429", "429-reset", recovers=0.5),
    Row("status_429", "429-told", recovers=0.5),
    Row("status_429", "429-long", 429, "RATE_LIMIT_ERROR", retry_after=77),
    Row("status_500", "500"),
    Row("status_502", "502"),
    Row("status_503", "503", 503, "UNAVAILABLE"),
    Row("status_503", "503-1s", recovers=1.0),
    Row("status_503", "503-long", 503, "UNAVAILABLE", retry_after=77),
    Row("status_504", "504"),
    Row("status_529", "529", 503, "UNAVAILABLE"),
    Row("lacking", "501", 501, "NOT_IMPLEMENTED"),
    Row("lacking", "405", 501, "NOT_IMPLEMENTED"),
    Row("status_other", "302"),
    Row("credentials", "401"),
    Row("credentials", "403"),
    Row("billing", "402"),
    Row("billing", "no-credit"),
    Row("location", "not-here"),
    Row("unserved", "404", 404, "NOT_FOUND"),
    Row("unserved", "no-model", 404, "model_not_found"),
    Row("allowance", "tokens-a-minute", 413, "rate_limit_exceeded"),
    Row("error_body", "error-in-a-200"),
    Row("error_event", "error-first", how="stream"),
    Row("context_length", "context", 400, "context_length_exceeded"),
    Row("content_filter", "filter", 400, "content_filter"),
    Row("client", "422", 422, "VALIDATION_ERROR"),
    Row("malformed", "half-json", how="whole"),
    Row("malformed", "html"),
    Row("malformed", "not-http"),
    Row("too_large", "too-large"),
    Row("cut", "cut", how="whole"),
    Row("stall", "stall", 504, "TIMEOUT_ERROR", "whole"),
    Row("cut", "cut", how="stream", later=True),
    Row("cut", "reset-after-words", how="stream", later=True),
    Row("cut", "ended-early", how="stream", later=True),
    Row("malformed", "malformed-event", how="stream", later=True),
    Row("malformed", "malformed-then-end", how="stream", later=True),
    Row("error_event", "error-later", how="stream", later=True),
    Row("stall", "stall", how="stream", later=True, code="TIMEOUT_ERROR"),
]
"""``busy``, ``unsupported`` and ``fallback_on`` are no vendor's doing, ``media_type`` is no chat's, ``unusable`` is
said in other dialects than this vendor's: they have tests of their own."""


@attrs.frozen
class Case:
    """A row, streamed or not, with somebody to fall back to or without."""

    row: Row
    stream: bool
    fallback: bool

    @property
    def name(self) -> str:
        return f"{self.row.fault}:{'stream' if self.stream else 'whole'}:{'fallback' if self.fallback else 'alone'}"

    @property
    def target(self) -> str:
        return f"{self.row.fault if self.row.below else 'bad'}/{self.name}"

    @property
    def toml(self) -> str:
        option = "context_fallbacks" if self.row.cause == "context_length" else "fallbacks"
        fallback = f'{option} = ["rescue"]\n' if self.fallback else ""
        return f'[models."{self.name}"]\ntargets = ["{self.target}"]\n{fallback}'


CASES = [
    Case(row, stream, fallback)
    for row in TABLE
    for stream in (False, True)
    if row.how in ("both", "stream" if stream else "whole")
    for fallback in (False, True)
]


class Faulty(TestCase):
    timeout = TIMEOUT

    async def begin(self, models: str, wait: float = PATIENCE) -> Gateway:
        """A gateway with ``models``.

        :param wait: its limits for each attempt, in seconds.
        """
        self.bad, self.good = FaultServer(), Vendor(well)
        self.deaf = Deaf()
        self.addCleanup(self.deaf.stop)
        self.proxy = Vendor(lambda asked: asked.connection.answer(407, {}))
        for vendor in (self.bad, self.good, self.proxy):
            self.addCleanup(lambda vendor=vendor: Deferred.fromCoroutine(vendor.stop()))
        return await self.another(models, wait)

    async def another(self, models: str, wait: float) -> Gateway:
        """A gateway more, before the same vendors."""
        cert, key = Authority().issue("localhost", "localhost")
        tls = reactor.listenSSL(0, self.good, ssl.DefaultOpenSSLContextFactory(key, cert), interface="127.0.0.1")
        self.addCleanup(tls.stopListening)
        places = {
            "bad": f"http://127.0.0.1:{self.bad.port}/v1",
            "good": f"http://127.0.0.1:{self.good.port}/v1",
            "refused": f"http://127.0.0.1:{free_port()}/v1",
            "dns": "http://no-such-host.invalid/v1",
            "tls": f"https://localhost:{tls.getHost().port}/v1",
            "proxy": "https://192.0.2.1/v1",
            "deaf": f"http://127.0.0.1:{self.deaf.port}/v1",
        }
        more = {"proxy": f'proxy = "http://127.0.0.1:{self.proxy.port}"\n'}
        providers = "".join(
            f'[providers.{name}]\nbase_url = "{url}"\n{more.get(name, "")}' for name, url in places.items()
        )
        claude = f'[providers.claude]\ndialect = "anthropic"\nbase_url = "http://127.0.0.1:{self.good.port}"\n'
        rescue = '[models.rescue]\ntargets = ["good/rescue"]\ncapabilities = {context = 1000000}\n'
        self.gateway = gateway = Gateway(SETTINGS + limits(wait) + providers + claude + rescue + models)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def ask(
        self, model: str, stream: bool, *, name: str = "", gateway: Gateway | None = None, **fields: Any
    ) -> Response:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **fields}
        client = await Client.connect((gateway or self.gateway).port)
        client.send(request(body=body, headers={"x-request-id": name or model}))
        if model.startswith("reset-after-words:"):
            await client.wait_for(WORDS[BEFORE - 1].encode())
            self.bad.reset(model)
        response = await client.response()
        client.leave()
        return response

    async def record(self, name: str) -> dict[str, Any]:
        """The ledger's line for one request."""

        def found() -> list[dict[str, Any]]:
            lines = self.gateway.logs()
            return [
                each["fields"] for each in lines if each["target"] == "llmedge.access" and each["request_id"] == name
            ]

        await until(lambda: bool(found()), f"a record of {name}")
        (fields,) = found()
        return fields

    def whole(self, response: Response, name: str, stream: bool) -> None:
        """The client has the whole answer, word by word, and nothing else."""
        self.assertEqual((response.status, response.complete), (200, True), (name, response.body))
        if not stream:
            self.assertEqual(response.json()["choices"][0]["message"]["content"], TEXT, name)
            return
        *events, done = response.events()
        self.assertEqual(done, "[DONE]", name)
        text, finishes = self.said(events, name)
        self.assertEqual((text, finishes), (TEXT, ["stop"]), name)

    def said(self, events: list[str], name: str) -> tuple[str, list[str]]:
        text, finishes = "", []
        for event in map(json.loads, events):
            self.assertNotIn("error", event, name)
            self.assertEqual(event["object"], "chat.completion.chunk", name)
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                finishes += [choice["finish_reason"]] if choice["finish_reason"] else []
        return text, finishes


class Table(Faulty):
    async def test_every_row(self) -> None:
        """Each row, streamed or not, alone or with a fallback: what the client saw, the vendor saw, the ledger says.

        An honest end, held back frames, no early 200, no leak, both errors kept; each limit fires, Retry-After is
        honoured and passed on, a silent target is left and not asked again.
        """
        elsewhere = {
            "busy",
            "unsupported",
            "fallback_on",
            "media_type",
            "unusable",
            "kept_elsewhere",
        }
        self.assertEqual({row.cause for row in TABLE} | elsewhere, set(VERDICTS))
        models = "".join(case.toml for case in CASES)
        patient, waiting = await self.begin(models), await self.another(models, WAIT)
        limit = DeferredSemaphore(10)

        def ask(case: Case) -> Deferred[Response]:
            if case.row.waits:  # all at once: nobody works meanwhile
                return Deferred.fromCoroutine(self.ask(case.name, case.stream, gateway=waiting))
            return limit.run(lambda: Deferred.fromCoroutine(self.ask(case.name, case.stream, gateway=patient)))

        answers = await gatherResults([ask(case) for case in CASES])
        await until(lambda: len(patient.access()) + len(waiting.access()) >= len(CASES), "all records")
        records = {
            line["request_id"]: line["fields"]
            for line in patient.logs() + waiting.logs()
            if line["target"] == "llmedge.access" and line["fields"].get("model")
        }
        wrong = []
        for case, response in zip(CASES, answers, strict=True):
            try:
                self.judge(case, response, records[case.name])
            except self.failureException as error:
                wrong.append(f"{case.name}: {error}")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def judge(self, case: Case, response: Response, record: dict[str, Any]) -> None:
        row, verdict = case.row, VERDICTS[case.row.cause]
        again = verdict.next is Next.RETRY and row.retry_after is None
        here = case.fallback and not row.later and row.retry_after is None  # what is over at once, before a fallback
        here = here and (row.recovers is not None or row.cause in BRIEFLY)
        rescued = case.fallback and verdict.next is not Next.ANSWER and row.recovers is None
        kinds = ["first", "retry"] if here else ["first"]
        if rescued:
            kinds.append("splice" if row.later else "fallback")
        elif again and not row.later and not here:
            kinds.append("retry")
        good = rescued or row.recovers is not None
        # What the client saw.
        if good:
            self.whole(response, case.name, case.stream)
            self.assertEqual(response.headers["x-llmedge-attempts"], "1" if row.later else str(len(kinds)))
            self.assertEqual(
                response.headers.get("x-llmedge-fallback"), "rescue" if rescued and not row.later else None
            )
        elif row.later:
            self.assertEqual((response.status, response.complete), (200, False))
            *events, last = response.events()
            self.assertEqual(self.said(events, case.name), ("".join(WORDS[:BEFORE]), []))
            self.assertEqual(json.loads(last)["error"]["code"], row.code)
        else:
            self.assertEqual((response.status, response.error["code"]), (row.status, row.code))
            told = response.headers.get("retry-after")
            self.assertEqual(told, None if row.retry_after is None else str(row.retry_after))
        # What the vendor saw.
        asked = self.bad.times(case.name)
        self.assertEqual(len(asked), 0 if row.below else 1 + ("retry" in kinds))
        if row.recovers is not None:
            self.assertGreaterEqual(asked[1] - asked[0], row.recovers)
        # What the ledger says.
        attempts = record["attempts"]
        self.assertEqual([each["kind"] for each in attempts], kinds)
        causes = [row.cause] + ([] if row.recovers is not None else [row.cause]) * ("retry" in kinds)
        self.assertEqual([each["cause"] for each in attempts if each["outcome"] != "ok"], causes)
        self.assertEqual(attempts[-1]["outcome"] == "ok", good)
        self.assertEqual(attempts[-1]["target"], "good/rescue" if rescued else case.target)
        self.assertEqual(record.get("fallback"), "rescue" if rescued else None)
        self.assertEqual(record["status"], response.status)
        self.assertNotIn("passed_over", record)
        self.assertGreaterEqual(record["overhead_ms"], 0.0)
        if good:
            self.assertEqual(record["outcome"], "ok")
            told = (record["input_tokens"], record["output_tokens"], record["tokens_estimated"])
            self.assertEqual(told, (USAGE["prompt_tokens"], USAGE["completion_tokens"], False))
        else:
            self.assertEqual(record["error_code"], row.code)
            self.assertIn(attempts[0]["error"], record["error"])


class Others(Faulty):
    async def test_busy(self) -> None:
        """A limit of ours for a target: the next is asked; alone it is a 503 that says when; the vendor sees none."""
        limited = "rpm = 1"
        models = "".join(
            f'[models.{name}]\ntargets = [{{target = "bad/well:{name}", {limited}}}]\n{more}'
            for name, more in (("alone", ""), ("helped", 'fallbacks = ["rescue"]\n'))
        )
        await self.begin(models)
        for stream in (False, True):
            if not stream:
                for model in ("alone", "helped"):
                    self.whole(await self.ask(model, stream, name=f"first-{model}"), model, stream)
            refused = await self.ask("alone", stream, name=f"alone-{stream}")
            self.assertEqual((refused.status, refused.error["code"]), (503, "UNAVAILABLE"))
            self.assertIn(int(refused.headers["retry-after"]), range(1, 61))
            record = await self.record(f"alone-{stream}")
            self.assertNotIn("attempts", record)
            self.assertEqual(record["passed_over"][0]["target"], "bad/well:alone")
            self.assertIn("has no requests left this minute", record["passed_over"][0]["why"])
            self.whole(await self.ask("helped", stream, name=f"helped-{stream}"), "helped", stream)
            record = await self.record(f"helped-{stream}")
            self.assertEqual([each["kind"] for each in record["attempts"]], ["fallback"])
            self.assertEqual(len(record["passed_over"]), 1)
        # By another name it is the same target with the same limit.
        self.assertEqual((await self.ask("bad/well:alone", False)).status, 503)
        self.assertEqual(len(self.bad.times("well:alone")), 1)

    async def test_unsupported(self) -> None:
        """What a target's dialect cannot say is asked of the next; alone it is a 400 that names the field."""
        await self.begin(
            '[models.alone]\ntargets = ["claude/x"]\n[models.helped]\ntargets = ["claude/x"]\nfallbacks = ["rescue"]\n'
        )
        for stream in (False, True):
            refused = await self.ask("alone", stream, name=f"alone-{stream}", logit_bias={"1": 2})
            self.assertEqual((refused.status, refused.error["param"]), (400, "logit_bias"))
            record = await self.record(f"alone-{stream}")
            self.assertEqual([each["cause"] for each in record["attempts"]], ["unsupported"])
            self.whole(await self.ask("helped", stream, name=f"h-{stream}", logit_bias={"1": 2}), "helped", stream)
            record = await self.record(f"h-{stream}")
            self.assertEqual([each["kind"] for each in record["attempts"]], ["first", "fallback"])

    async def test_what_is_no_failure(self) -> None:
        """Without [DONE] a stream is whole; a drip too."""
        await self.begin("")
        for fault in ("no-done", "no-done-and-open", "drip"):
            self.whole(await self.ask(f"bad/{fault}", True, name=fault), fault, True)
            record = await self.record(fault)
            self.assertEqual([each["outcome"] for each in record["attempts"]], ["ok"], fault)
        self.whole(await self.ask("bad/drip", False), "drip", False)

    async def test_the_next_target(self) -> None:
        """Targets of the same model come before its fallbacks, and the record says so."""
        await self.begin(
            '[models.m]\ntargets = ["bad/500:a", "bad/role-then-silence:b", "good/x"]\nfallbacks = ["rescue"]\n', WAIT
        )
        self.whole(await self.ask("m", True), "m", True)
        record = await self.record("m")
        found = [(each["target"], each["kind"], each["cause"]) for each in record["attempts"]]
        self.assertEqual(
            found,
            [
                ("bad/500:a", "first", "status_500"),
                ("bad/role-then-silence:b", "next", "silent"),
                ("good/x", "next", None),
            ],
        )

    async def test_recovery(self) -> None:
        """splice, continue, buffer and off; a different answer is one explicit error, never a clean end."""
        modes = ("splice", "continue", "buffer", "off")
        await self.begin(
            "".join(
                f'[models.{mode}]\ntargets = ["bad/cut:{mode}", "good/{mode}"]\nstream_recovery = "{mode}"\n'
                f"capabilities = {{prefill = true}}\n"
                for mode in modes
            )
            + '[models.other]\ntargets = ["bad/cut:other", "good/other"]\n'
        )
        continued = []

        def good(asked: Asked) -> None:
            if asked.json()["model"] == "other":
                asked.connection.begin_stream()
                asked.connection.event(
                    {
                        "id": "d",
                        "object": "chat.completion.chunk",
                        "created": 2,
                        "model": "o",
                        "choices": [{"index": 0, "delta": {"content": "It was"}, "finish_reason": None}],
                    }
                )
                return
            if asked.json()["messages"][-1]["role"] == "assistant":
                continued.append(asked.json()["messages"][-1]["content"])
                from tests.e2e.faults import finish
                from tests.e2e.vendor import ROLE, delta

                asked.connection.begin_stream()
                asked.connection.event(ROLE)
                for word in ("", " ", "universally ", *WORDS[BEFORE + 1 :]):
                    asked.connection.event(delta(word))
                finish(asked.connection)
                asked.connection.event(b"[DONE]")
                asked.connection.end()
                return
            well(asked)

        self.good.script = good
        for mode, kind in (("splice", "splice"), ("continue", "continue"), ("buffer", "next")):
            self.whole(await self.ask(mode, True), mode, True)
            record = await self.record(mode)
            found = [(each["kind"], each["outcome"]) for each in record["attempts"]]
            self.assertEqual(found, [("first", "cut"), (kind, "ok")], mode)
        self.assertEqual(continued, ["".join(WORDS[:BEFORE]).rstrip()])
        for mode in ("off", "other"):
            response = await self.ask(mode, True)
            self.assertEqual((response.status, response.complete), (200, False))
            self.assertNotIn("[DONE]", response.events())
            self.assertIn("error", json.loads(response.events()[-1]))
        self.assertIn("a different one", (await self.record("other"))["error"])
