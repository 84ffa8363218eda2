"""Whatever is asked about money, the sums and the rows agree to the last digit."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from random import Random

from llmedge.model import Account
from llmedge.money import picos
from llmedge.store import rollups
from llmedge.store.rollups import FIGURES, HOUR, figures
from llmedge.store.rows import Row, day_of
from llmedge.store.spend import DAY, GROUPS, Question, spend
from tests.store.databases import OnDatabase, on_both, row

BEGIN = int(datetime(2026, 10, 30, 22, tzinfo=UTC).timestamp())
"""Two hours before a day ends, two days before a month does."""


def some_rows(count: int, random: Random) -> list[Row]:
    """Of four days, eight keys in two teams, three models."""
    rows = []
    for number in range(count):
        key = f"key-{random.randrange(8)}"
        rows.append(
            row(
                BEGIN + random.random() * 4 * 86400,
                key=key,
                model=random.choice(["gpt-4o", "gpt-4o-mini", "claude"]),
                cost=random.choice([None, "0", "0.000000000001", f"{random.random() * 20:.12f}"]),
                tokens=(random.randrange(9000), random.randrange(900)),
                outcome=random.choice(["ok", "ok", "cut", "error"]),
                request_id=f"req_{number}",
                account=Account(f"id-{key}", "red" if key < "key-4" else "blue", "", "acme"),
            )
        )
    return rows


def expected(rows: list[Row], asked: Question) -> dict[tuple[object, ...], list[int]]:
    """What is to be answered, by looking at each row."""
    sums: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0] * len(FIGURES))

    def value(row: Row, name: str) -> object:
        return {"day": day_of(row.at), "hour": row.at // HOUR}.get(name) or getattr(row, GROUPS[name])

    for each in rows:
        if not asked.start <= each.at < asked.end:
            continue
        if any(value(each, name) not in values for name, values in asked.where.items()):
            continue
        if asked.models and not any(fnmatchcase(each.model, pattern) for pattern in asked.models):
            continue
        group = tuple(value(each, name) for name in asked.by)
        sums[group] = [a + b for a, b in zip(sums[group], figures(each), strict=True)]
    return dict(sums) if asked.by else {(): sums[()]}


class Asked(OnDatabase):
    def test_as_if_each_row_were_looked_at(self) -> None:
        """Random questions, with ragged ends, by any two groups."""
        random = Random(7)
        rows = some_rows(400, random)
        connection = self.migrated()
        for start in range(0, len(rows), 150):
            part = rows[start : start + 150]
            connection.add(part, lambda part=part: rollups.add(connection, part))
        for _ in range(60):
            ends = sorted(BEGIN * 1_000_000 + random.randrange(-DAY, 5 * DAY) for _ in range(2))
            ends = [end - end % random.choice([1, HOUR, DAY]) for end in ends]
            asked = Question(
                *ends,
                by=tuple(random.sample(sorted(GROUPS), random.randrange(3))),
                where=random.choice([{}, {"team": ["red"]}, {"key": ["id-key-1", "id-key-5"]}, {"model": ["claude"]}]),
                models=random.choice([(), ("gpt-*",), ("claude", "x")]),
            )
            found = {
                tuple(group[name] for name in asked.by): [group[name] for name in FIGURES]
                for group in spend(connection, asked)
            }
            self.assertEqual(found, expected(rows, asked), str(asked))

    def test_more_than_a_sum_of_64_bits_holds(self) -> None:
        """One of a day holds nine million USD."""
        connection = self.migrated()
        rows = [row(BEGIN + number * 86400, cost="8000000.000000000001") for number in range(40)]
        for each in rows:
            connection.add([each], lambda each=each: rollups.add(connection, [each]))
        for by in ((), ("model",)):
            asked = Question(BEGIN * 1_000_000, (BEGIN + 40 * 86400) * 1_000_000, by)
            self.assertEqual(spend(connection, asked)[0]["cost"], picos(Decimal("320000000.00000000004")))

    def test_nothing(self) -> None:
        connection = self.migrated()
        self.assertEqual(spend(connection, Question(0, 10, ("team",))), [])
        self.assertEqual(set(spend(connection, Question(0, 10))[0].values()), {0})


AskedSqlite, AskedPostgresql = on_both(Asked)
del Asked
