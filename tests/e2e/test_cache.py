"""A hundred equal calls at once, over real sockets; and what the vendors' own clients read of an answer given again."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client
from tests.e2e.service import CANARY_KEY, PYTHONPATH, ROOT, TIMEOUT, Gateway, until
from tests.e2e.vendor import ANSWER, Asked, delta
from tests.e2e.with_vendor import STREAM, WithVendor
from tests.fakes import CHAT, Response, request
from tests.folders import new_folder

MANY = 100
CACHE = "[auth]\nenabled = false\n[cache]\nenabled = true\n"
USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
PRICE = '[prices."v/*"]\ninput = 1\noutput = 1\n'
WORDS = [f"word{number} " for number in range(20)]


class AtOnce(WithVendor):
    """The vendor answers when it is told to."""

    async def crowd(self, body: Any, more: str = "") -> list[Client]:
        """All of them wait for one answer, the first one's."""
        await self.begin(lambda asked: None, CACHE + PRICE + more)
        clients = [await Client.connect(self.gateway.port)]
        clients[0].send(request(body=body))
        await until(lambda: bool(self.vendor.asked), "the first is asked for")
        clients += await gatherResults([Deferred.fromCoroutine(Client.connect(self.gateway.port)) for _ in range(99)])
        for client in clients[1:]:
            client.send(request(body=body))
        while f"llm_requests_in_flight {MANY}\n" not in await self.metrics():
            pass
        return clients

    async def metrics(self) -> str:
        client = await Client.connect(self.gateway.port)
        client.send(request("GET", "/metrics"))
        shown = (await client.response()).body.decode()
        client.leave()
        return re.sub(r"(?m)(\d)\.0$", r"\1", shown)

    async def answers(self, clients: list[Client]) -> list[Response]:
        found = [await client.response() for client in clients]
        for client in clients:
            client.leave()
        self.assertEqual({each.status for each in found}, {200})
        return found

    async def records(self, number: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.gateway.access()) >= number, "their records")
        records = self.gateway.access()
        self.assertEqual((len(records), len({each["request_id"] for each in self.lines()})), (number, number))
        return records

    def lines(self) -> list[dict[str, Any]]:
        return [line for line in self.gateway.logs() if line["target"] == "llmedge.access" and line["level"] == "INFO"]

    def stream(self, asked: Asked, words: list[str]) -> None:
        for word in words:
            asked.connection.event(delta(word) | {"id": "chatcmpl-123456"})

    def end(self, asked: Asked) -> None:
        asked.connection.event(delta(finish="stop") | {"id": "chatcmpl-123456"} | USAGE)
        asked.connection.event(b"[DONE]")
        asked.connection.end()

    def costs(self, records: list[dict[str, Any]]) -> list[float]:
        return sorted(float(each.get("cost_usd") or 0) for each in records)

    async def test_whole(self) -> None:
        clients = await self.crowd(CHAT)
        (asked,) = self.vendor.asked
        asked.connection.answer(200, ANSWER | {"id": "chatcmpl-123456"} | USAGE)
        found = await self.answers(clients)
        self.assertEqual(len({each.body for each in found}), MANY)  # each with an id of its own
        how = [each.headers["x-llmedge-cache"] for each in found]
        self.assertEqual((how[0], set(how[1:])), ("MISS", {"COLLAPSED"}))
        records = await self.records(MANY)
        self.assertEqual(self.costs(records), [0.0] * 99 + [5e-6])
        self.assertEqual(len(self.vendor.asked), 1)
        self.assertIn("llm_cache_collapsed_total 99\n", await self.metrics())

    async def test_streamed(self) -> None:
        clients = await self.crowd(STREAM)
        (asked,) = self.vendor.asked
        asked.connection.begin_stream()
        self.stream(asked, WORDS)
        self.end(asked)
        for each in await self.answers(clients):
            self.assertEqual(re.findall(rb"word\d+", each.body), [word.strip().encode() for word in WORDS])
            self.assertTrue(each.body.rstrip().endswith(b"data: [DONE]"))
        records = await self.records(MANY)
        self.assertEqual((self.costs(records), len(self.vendor.asked)), ([0.0] * 99 + [5e-6], 1))
        self.assertEqual((await self.ask(STREAM)).headers["x-llmedge-cache"], "HIT")

    async def test_the_first_is_killed(self) -> None:
        """Before its answer has begun, and in the middle of it: 99 have all of it, and it is paid for once."""
        for midway in (False, True):
            clients = await self.crowd(STREAM)
            (asked,) = self.vendor.asked
            first, others = clients[0], clients[1:]
            if midway:
                asked.connection.begin_stream()
                self.stream(asked, WORDS[:10])
                for client in clients:
                    await client.wait_for(b"word9 ")
            first.leave()
            await until(lambda: any(each["outcome"] == "client_closed" for each in self.gateway.access()), "it left")
            if not midway:
                asked.connection.begin_stream()
                self.stream(asked, WORDS[:10])
            self.stream(asked, WORDS[10:])
            self.end(asked)
            for each in await self.answers(others):
                self.assertEqual(re.findall(rb"word\d+", each.body), [word.strip().encode() for word in WORDS])
                self.assertEqual(each.body.count(b"[DONE]"), 1)
            records = await self.records(MANY + 1)  # with that of the call itself, which went on
            outcomes = [each["outcome"] for each in records]
            self.assertEqual((outcomes.count("ok"), outcomes.count("client_closed")), (MANY, 1))
            self.assertEqual((self.costs(records), len(self.vendor.asked)), ([0.0] * MANY + [5e-6], 1))

    async def rows(self) -> list[tuple[str, int | None, str, int]]:
        """Outcome, cost, what the cache did and how many attempts, of every call."""
        (file,) = self.folder.glob("llmedge-*.db")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return database.execute("SELECT outcome, cost, cache, attempts FROM ledger").fetchall()

    async def test_rows(self) -> None:
        """With a strict ledger: one for each call, of which one costs; where the first has left, that of the call that
        went on. None is left that says that it is unknown what became of it."""
        for leaves in (False, True):
            self.folder = new_folder()
            store = f'[store]\nurl = "sqlite:{self.folder}/llmedge.db"\n[ledger]\ndurability = "strict"\n'
            clients = await self.crowd(CHAT, store)
            (asked,) = self.vendor.asked
            if leaves:
                clients.pop(0).leave()
                await until(lambda: bool(self.gateway.access()), "it left")
            asked.connection.answer(200, ANSWER | USAGE)
            await self.answers(clients)
            await self.gateway.stop()
            rows = await self.rows()
            self.assertEqual(len(rows), MANY + leaves)
            paid = [row for row in rows if row[1]]
            self.assertEqual(paid, [("ok", 5_000_000, "MISS", 1)])
            self.assertEqual({row[0] for row in rows}, {"ok", "client_closed"} if leaves else {"ok"})


class RealClients(TestCase):
    timeout = TIMEOUT

    async def test_they_read_a_hit_as_a_miss(self) -> None:
        key = f'[[auth.keys]]\nname = "tests"\nkey = "{CANARY_KEY}"\n'
        mock = '[cache]\nenabled = true\n[providers.mock]\nvendor = "mock"\n[models.m]\ntargets = ["mock/m"]\n'
        gateway = await Gateway(key + mock).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        env: dict[str, Any] = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": PYTHONPATH}
        given = ("-m", "tests.e2e.clients.cached_answers", gateway.url, CANARY_KEY)
        _, err, code = await getProcessOutputAndValue(sys.executable, given, env=env, path=ROOT)
        self.assertFalse(err or code, err.decode())
