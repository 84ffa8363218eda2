"""A ledger of a million calls (in ``make soak``; of fewer otherwise): what is asked of it is answered at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import attrs
import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.identity.directory import Directory
from llmedge.identity.secrets import Pepper
from llmedge.store import rollups, snapshot
from llmedge.store.calls import by_request, latest
from llmedge.store.database import Connection
from llmedge.store.migrations import migrate
from llmedge.store.rows import Row
from llmedge.store.spend import DAY, Question, spend
from tests.effort import so_many
from tests.identity.test_directory import key, secret
from tests.store.databases import OnDatabase, on_both, row

ROWS = so_many(20_000, quick=2_000, soak=1_000_000)
KEYS, TEAMS, MODELS, DAYS = 200, 10, 12, 90
START = int(datetime(2026, 8, 30, tzinfo=UTC).timestamp())
MONTH = Question(*(int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) * 1_000_000 for month in (10, 11)))
SPEND, CALL = 0.3, 0.02
"""Seconds that an answer may take."""


def rows(count: int) -> list[Row]:
    """Spread over :data:`DAYS`: each key is a team's, and asks three models."""
    random, pattern, made = Random(7), row(START), []
    step = DAYS * 86_400 / ROWS
    for number in range(count):
        at = int((START + number * step) * 1_000_000)
        key = random.randrange(KEYS)
        made.append(
            msgspec.structs.replace(
                pattern,
                uid=f"{at:014x}{number:010x}",
                at=at,
                request_id=f"req_{number}",
                key_id=f"key_{key}",
                key=f"app-{key}",
                team=f"team_{key % TEAMS}",
                model=f"model-{(key + random.randrange(3)) % MODELS}",
                cost=random.randrange(10**10),
            )
        )
    return made


def filled(connection: Connection) -> int:
    """What all its rows cost."""
    made = rows(ROWS)
    for start in range(0, ROWS, 5_000):
        some = made[start : start + 5_000]
        connection.add(some, lambda some=some: rollups.add(connection, some))  # type: ignore[misc]
    return sum(each.cost or 0 for each in made)


class Start(SynchronousTestCase):
    def test_ten_thousand_keys(self) -> None:
        """What is known of them from the last time costs a start 0.3 s at most, and the first look at the database no
        longer holds up calls."""
        pepper, path = Pepper.of("a pepper of tests, long enough"), Path(self.mktemp())
        count = so_many(10_000, quick=1_000)
        shown = [b"sk-le-%d" % number for number in range(count)]
        keys = [key(f"id-{number}", data={"rpm": 60, "models": ["gpt-*"]}) for number in range(count)]
        hashes = [secret(value, f"id-{number}", pepper) for number, value in enumerate(shown)]
        snapshot.write(path, snapshot.Snapshot(7, keys, hashes), pepper)
        took = []
        for _ in range(3):
            directory = Directory(Clock(), (pepper,))
            began = time.perf_counter()
            found = snapshot.read(path, (pepper,), snapshot.Snapshot)
            assert found is not None
            directory.apply(found.revision, found.entities, found.secrets)
            took.append(time.perf_counter() - began)
        print(f"\n{count} keys: {min(took) * 1000:.0f} ms", end="")
        self.assertEqual(len(directory.all("key")), count)
        self.assertLess(min(took), 0.3)


class Scale(OnDatabase):
    timeout = 1200

    def least(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds, of three times: others use this machine, too."""
        took = []
        for _ in range(3):
            began = time.perf_counter()
            found = work()
            took.append(time.perf_counter() - began)
        return min(took), found

    def test_at_once(self) -> None:
        where = self.where()
        writer = self.connect(where)
        migrate(writer)
        began = time.perf_counter()
        total = filled(writer)
        print(f"\n{self.kind}: {ROWS / (time.perf_counter() - began):.0f} rows/s written", end="")
        connection = self.connect(where)
        whole = Question(START * 1_000_000, START * 1_000_000 + DAYS * DAY)
        # (what is asked, what is right of the answer, seconds)
        asked: list[tuple[str, Callable[[], Any], Callable[[Any], bool], float]] = [
            (
                "a month by team and model",
                lambda: spend(connection, attrs.evolve(MONTH, by=("team", "model"))),
                lambda found: len(found) > TEAMS,
                SPEND,
            ),
            (
                "all by team and model",
                lambda: spend(connection, attrs.evolve(whole, by=("team", "model"))),
                lambda found: sum(each["cost"] for each in found) == total,
                SPEND,
            ),
            (
                "one call by id",
                lambda: by_request(connection, f"req_{ROWS // 3}", ("", ())),
                lambda found: len(found) == 1,
                CALL,
            ),
            (
                "a key's last calls",
                lambda: latest(connection, {"key": ["key_7"]}, ("", ()), 0, (2**52, ""), 50),
                lambda found: len(found) > 5,
                CALL,
            ),
        ]
        slow = {}
        for name, ask, right, limit in asked:
            took, found = self.least(ask)
            print(f"\n{self.kind}: {name}: {took * 1000:.1f} ms", end="")
            self.assertTrue(right(found), name)
            if took > limit:
                slow[name] = took
        self.assertEqual(slow, {})


ScaleSqlite, ScalePostgresql = on_both(Scale)
del Scale
