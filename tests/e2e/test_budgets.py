"""However many ask at once, nobody spends more than there is, and nearly all of it can be spent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
import time
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e import crowd
from tests.e2e.client import Client, wait
from tests.e2e.crowd import Paid, Socket, http, spend
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import Vendor
from tests.effort import so_many
from tests.fakes import CHAT
from tests.folders import new_folder

CALLERS = so_many(40, quick=20, soak=1000)
KINDS = ("chat", "open", "stream", "open-stream", "embeddings", "images", "socket")
MESSAGES = CHAT | {"model": "m"}
ASKED: dict[str, tuple[str, Any]] = {
    "chat": ("/v1/chat/completions", MESSAGES | {"max_tokens": 500}),
    "open": ("/v1/chat/completions", MESSAGES),
    "stream": ("/v1/chat/completions", MESSAGES | {"max_tokens": 500, "stream": True}),
    "open-stream": ("/v1/chat/completions", MESSAGES | {"stream": True}),
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "x" * 8000}),
    "images": ("/v1/images/generations", {"model": "m", "prompt": "hello"}),
}


async def own_budget(gateway: Gateway, key: str) -> dict[str, str]:
    """As the key itself is told."""
    client = await Client.connect(gateway.port)
    client.send(f"GET /v1/key HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n".encode())
    (limits,) = json.loads((await client.response()).body)["limits"]
    client.leave()
    (budget,) = limits["budgets"]
    found: dict[str, str] = budget
    return found


class Crowds(TestCase):
    timeout = 2 * TIMEOUT

    async def setUp(self) -> None:
        self.paid = Paid()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.paid.vendor.stop()))
        toml = crowd.TOML.replace("VENDOR", str(self.paid.vendor.port))
        for kind in KINDS:
            toml += f'[[auth.keys]]\nname = "{kind}"\nkey = "key-{kind}"\n'
            toml += 'budgets = [{amount = 1, period = "total"}]\n'
        store = {"LLMEDGE_STORE": f"sqlite:{new_folder() / 'llmedge.db'}"}
        self.gateway = await Gateway(toml, store).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))

    async def spent(self, key: str) -> Decimal:
        budget = await own_budget(self.gateway, key)
        self.assertEqual(budget["held_usd"], "0")
        return Decimal(budget["spent_usd"])

    async def test_one_after_another(self) -> None:
        """On every way to ask: what vendors are owed is what the budget says, at most 1 USD and 0.98 at least."""
        for kind in KINDS:
            before = self.paid.earned
            key = f"key-{kind}"
            if kind == "socket":
                sockets = [await Socket.open(self.gateway, key) for _ in range(CALLERS)]
                free = list(sockets)

                async def ask(free: list[Socket] = free) -> tuple[int, str]:
                    socket = free.pop()
                    try:
                        return await socket.ask(MESSAGES | {"max_tokens": 500})
                    finally:
                        free.append(socket)

                codes = await spend(CALLERS, ask)
                for socket in sockets:
                    socket.leave()
            else:
                path, document = ASKED[kind]
                codes = await spend(
                    CALLERS, lambda path=path, document=document, key=key: http(self.gateway, key, path, document)
                )
            owed = Decimal(self.paid.earned - before) / 10**6
            self.assertEqual(await self.spent(key), owed, kind)
            self.assertLessEqual(owed, 1, kind)
            self.assertGreaterEqual(owed, Decimal("0.98"), kind)
            self.assertLessEqual({*codes}, {"insufficient_quota", "BUDGET_HELD"}, kind)
            self.assertEqual(codes.count("insufficient_quota"), CALLERS, kind)


class Telling(TestCase):
    timeout = TIMEOUT

    async def test_a_budget_that_is_nearly_spent(self) -> None:
        """Two processes that share it, and their ledger: one of them tells it, once, again after a failure, signed."""
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        statuses = iter((503, 200))
        receiver = Vendor(lambda asked: asked.connection.answer(next(statuses), {}))
        self.addCleanup(lambda: Deferred.fromCoroutine(receiver.stop()))
        toml = f'[webhook]\nurl = "http://127.0.0.1:{receiver.port}/hook"\nsecret = "{secret}"\n'
        budget = '{amount = 0.0005, period = "total", soft = [0.5]}'
        toml += f'[[auth.keys]]\nname = "a"\nkey = "key-a"\nbudgets = [{budget}]\n'
        toml += '[providers.mock]\ndialect = "mock"\n[models.m]\ntargets = ["mock/x"]\n'
        toml += '[prices."mock/*"]\ninput = 1\noutput = 10\n[ledger]\nspool = "SPOOL"\n'
        folder = new_folder()
        store = {"LLMEDGE_STORE": f"sqlite:{folder / 'llmedge.db'}"}
        gateways = []
        for name in "ab":
            gateway = await Gateway(toml.replace("SPOOL", str(folder / name)), store).start()
            gateways.append(gateway)
            self.addCleanup(lambda gateway=gateway: Deferred.fromCoroutine(gateway.stop()))
        for gateway in (*gateways, *gateways):
            status, _ = await http(gateway, "key-a", "/v1/chat/completions", MESSAGES | {"max_tokens": 9})
            self.assertEqual(status, 200)
        await until(lambda: len(receiver.asked) >= 2, "an event, twice")
        for gateway in gateways:  # each reads what the other has spent
            while Decimal((await own_budget(gateway, "key-a"))["spent_usd"]) < Decimal("0.00025"):
                await wait(0.1)
            await gateway.stop()
        with sqlite3.connect(folder / "llmedge.db") as database:
            audit = database.execute("SELECT COUNT(*) FROM audit WHERE action = 'budget.soft_limit'").fetchone()
        self.assertEqual(audit, (1,))
        first, second = receiver.asked
        self.assertEqual(first.body, second.body)
        event = second.json()
        self.assertEqual((event["type"], event["data"]["who"]), ("budget.soft_limit", "The key 'a'"))
        at = second.headers["webhook-timestamp"]
        signed = f"{second.headers['webhook-id']}.{at}.".encode() + second.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        self.assertEqual(second.headers["webhook-signature"], f"v1,{expected}")
        self.assertLess(abs(int(at) - time.time()), 60)
        for gateway in gateways:
            self.assertNotIn(secret, gateway.process.out)


class Clients(TestCase):
    """Clients nobody here wrote."""

    timeout = TIMEOUT

    async def test_an_exhausted_budget_is_not_asked_again(self) -> None:
        """Each SDK raises its own error for it, at once."""
        toml = '[[auth.keys]]\nname = "a"\nkey = "key-a"\nbudgets = [{amount = 0}]\n'
        toml += '[providers.mock]\ndialect = "mock"\nmodels = ["*"]\n[prices."mock/*"]\ninput = 1\noutput = 1\n'
        gateway = await Gateway(toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

        def work() -> None:
            import anthropic
            import openai

            messages: Any = CHAT["messages"]
            ours = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="key-a", max_retries=5)
            theirs = anthropic.Anthropic(base_url=gateway.url, api_key="key-a", max_retries=5)
            for ask in (
                lambda: ours.chat.completions.create(model="m", messages=messages),
                lambda: list(ours.chat.completions.create(model="m", messages=messages, stream=True)),
                lambda: ours.responses.create(model="m", input="hi"),
                lambda: ours.embeddings.create(model="m", input="hi"),
                lambda: ours.images.generate(model="m", prompt="hi"),
                lambda: ours.audio.speech.create(model="m", input="hi", voice="x"),
            ):
                with self.assertRaises(openai.RateLimitError) as refused:
                    ask()
                self.assertEqual(refused.exception.code, "insufficient_quota")
            for stream in (False, True):
                with self.assertRaises(anthropic.RateLimitError) as told:
                    theirs.messages.create(model="m", messages=messages, max_tokens=9, stream=stream)
                self.assertEqual(told.exception.body["error"]["type"], "rate_limit_error")

        await deferToThread(work)
        await until(lambda: len(gateway.access()) >= 8, "eight calls")
        await gateway.stop()
        self.assertEqual([each["status"] for each in gateway.access()], [429] * 8)
