"""Keys and what they belong to: every change is kept whole, is known to all, and is written down for good."""

from __future__ import annotations

import contextlib
import json
from threading import Thread
from typing import Any

import msgspec

from llmedge.entities import Entity, KeySecret
from llmedge.errors import Conflict, NotFound
from llmedge.store import entities
from llmedge.store.database import Connection
from llmedge.store.entities import Actor
from llmedge.store.migrations import migrate
from tests.store.databases import OnDatabase, on_both

ANNA = Actor("anna", "10.0.0.1", "req_1")


def key(name: str, **more: Any) -> Entity:
    return Entity("key", more.pop("id", f"id-{name}"), name, **more)


def secret(digest: str, of: str, **more: Any) -> KeySecret:
    return KeySecret(digest, of, "p1", "abcd", 0, **more)


class Entities(OnDatabase):
    def setUp(self) -> None:
        self.place = self.where()
        self.database = self.connect(self.place)
        migrate(self.database)

    def audit(self) -> list[dict[str, Any]]:
        rows = self.database.query(f"SELECT {', '.join(entities.AUDIT)} FROM audit ORDER BY n")
        return [dict(zip(entities.AUDIT, row, strict=True)) for row in rows]

    def test_there_and_back(self) -> None:
        made = entities.create(
            self.database, ANNA, key("a", team="red", data={"rpm": 7, "models": ["gpt-*"]}), secret("d1", "id-a")
        )
        self.assertEqual(entities.get(self.database, "key", "id-a"), made)
        self.assertEqual((made.version, made.created_by, made.data["rpm"]), (1, "anna", 7))
        self.assertEqual(entities.named(self.database, "key", "a"), made)
        self.assertEqual([each.digest for each in entities.secrets_of(self.database, "id-a")], ["d1"])

    def test_two_processes_at_once(self) -> None:
        """No change undoes another that it has not seen, and the audit has all of them in one chain."""
        entities.create(self.database, ANNA, key("a", data={"count": 0}))

        def work(connection: Connection) -> None:
            for _ in range(20):
                while True:
                    seen = entities.get(connection, "key", "id-a")
                    more = msgspec.structs.replace(seen, data={"count": seen.data["count"] + 1})
                    with contextlib.suppress(Conflict):
                        entities.change(connection, ANNA, more, version=seen.version)
                        break
                with connection.transaction():
                    entities.write_down(connection, ANNA, "budget.reset", "budget", "b", "", None, None)

        threads = [Thread(target=work, args=[self.connect(self.place)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(entities.get(self.database, "key", "id-a").data, {"count": 60})
        self.assertEqual((len(self.audit()), entities.broken_links(self.database)), (121, []))

    def test_nobody_overwrites_what_they_have_not_seen(self) -> None:
        made = entities.create(self.database, ANNA, key("a"))
        changed = entities.change(self.database, ANNA, msgspec.structs.replace(made, name="b"), version=1)
        self.assertEqual((changed.version, changed.name), (2, "b"))
        with self.assertRaises(Conflict):
            entities.change(self.database, ANNA, made, version=1)
        self.assertEqual(entities.get(self.database, "key", "id-a"), changed)

    def test_a_name_is_there_once(self) -> None:
        """Among those that are not deleted; a team may be called as a key is."""
        entities.create(self.database, ANNA, key("a"))
        with self.assertRaises(Conflict):
            entities.create(self.database, ANNA, key("a", id="other"))
        entities.create(self.database, ANNA, Entity("team", "t", "a"))
        entities.change(self.database, ANNA, key("a", state="deleted"), "delete")
        entities.create(self.database, ANNA, key("a", id="other"))
        self.assertEqual(len(self.audit()), 4)

    def test_who_is_deleted_keeps_its_name_and_has_no_secret(self) -> None:
        entities.create(self.database, ANNA, key("a"), secret("d1", "id-a"))
        entities.change(self.database, ANNA, key("a", state="deleted"), "delete")
        with self.assertRaises(NotFound):
            entities.get(self.database, "key", "id-a")
        new = entities.since(self.database, 0)
        self.assertEqual([(each.name, each.state) for each in new.entities], [("a", "deleted")])
        self.assertEqual(new.secrets, [])

    def test_what_is_new(self) -> None:
        """Since a revision: changed ones, each key with all of its secrets."""
        for name in "abc":
            entities.create(self.database, ANNA, key(name), secret(f"d-{name}", f"id-{name}"))
        first = entities.since(self.database, 0)
        self.assertEqual((len(first.entities), len(first.secrets), first.revision), (3, 3, 3))
        entities.change(self.database, ANNA, key("b"), "rotate", add=secret("d2", "id-b"), retire=99)
        new = entities.since(self.database, first.revision)
        self.assertEqual([each.name for each in new.entities], ["b"])
        self.assertEqual({each.digest: each.expires_at for each in new.secrets}, {"d-b": 99, "d2": None})
        self.assertEqual(entities.since(self.database, new.revision).entities, [])

    def test_pages(self) -> None:
        """In the order of ids, and only of those that may be seen."""
        for number in range(7):
            team = "red" if number % 2 else "blue"
            entities.create(self.database, ANNA, key(f"k{number}", team=team))
        first = entities.page(self.database, "key", most=3)
        rest = entities.page(self.database, "key", first[-1].id, 100)
        self.assertEqual([each.name for each in first + rest], [f"k{number}" for number in range(7)])
        some = entities.page(self.database, "key", where="team = ?", parameters=["red"])
        self.assertEqual([each.name for each in some], ["k1", "k3", "k5"])

    def test_every_change_is_written_down(self) -> None:
        """Who, from where, what was before and after; no secret, nor its digest."""
        entities.create(self.database, ANNA, key("a", data={"rpm": 1}), secret("d1", "id-a"))
        entities.change(self.database, ANNA, key("a", data={"rpm": 2}))
        with self.assertRaises(Conflict):
            entities.create(self.database, ANNA, key("a", id="other"))
        lines = self.audit()
        self.assertEqual([line["action"] for line in lines], ["key.create", "key.update"])
        who = [lines[1][name] for name in ("actor", "peer", "request_id", "id")]
        self.assertEqual(who, ["anna", "10.0.0.1", "req_1", "id-a"])
        self.assertEqual([json.loads(lines[1][name])["data"] for name in ("before", "after")], [{"rpm": 1}, {"rpm": 2}])
        self.assertNotIn("d1", str(lines[0]["after"]))

    def test_a_line_that_is_changed_or_missing_shows(self) -> None:
        for number in range(5):
            entities.create(self.database, ANNA, key(f"k{number}"))
        self.assertEqual(entities.broken_links(self.database), [])
        self.database.execute("UPDATE audit SET actor = 'nobody' WHERE n = 2")
        self.assertEqual(entities.broken_links(self.database), [2])
        self.database.execute("DELETE FROM audit WHERE n = 4")
        self.assertEqual(entities.broken_links(self.database), [2, 5])


EntitiesSqlite, EntitiesPostgresql = on_both(Entities)
del Entities
