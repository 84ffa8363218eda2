"""A gateway in memory with a store on the disk, whose work is done at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.trial.unittest import SynchronousTestCase

from llmedge.store import rollups
from llmedge.store.database import DatabaseThread
from llmedge.store.ledger import Ledger
from llmedge.store.migrations import migrate
from llmedge.store.rows import Row
from tests.fakes import Edge, Response

ADMIN = "admin-key-of-the-tests"
TOML = """
[rate_limit]
enabled = false
[providers.mock]
dialect = "mock"
[prices."mock/*"]
input = 1.0
output = 10.0
"""


def at_once(thread: DatabaseThread, work: Callable[[Any], Any], patience: float | None = None) -> Deferred[Any]:
    """What stands in for :meth:`DatabaseThread.run`."""
    return execute(thread._do, work)


class Administration(SynchronousTestCase):
    """:ivar edge: the gateway; ``store`` its store."""

    toml = ""

    def setUp(self) -> None:
        self.patch(DatabaseThread, "run", at_once)
        self.patch(Ledger, "caught_up", self.caught_up)
        path = Path(self.mktemp()) / "llmedge.db"
        self.environ = {"LLMEDGE_STORE": f"sqlite:{path}", "LLMEDGE_ADMIN_KEY": ADMIN}
        self.edge = Edge(TOML + self.toml, self.environ)
        self.store = self.edge.service._process.store
        self.addCleanup(self.store.database._drop)
        self.successResultOf(self.store.database.run(migrate))
        self.successResultOf(Deferred.fromCoroutine(self.store.refresh()))

    def caught_up(self, patience: float = 0.0) -> Deferred[bool]:
        """What stands in for :meth:`Ledger.caught_up`: what its threads would do is done."""
        self.ship()
        return succeed(True)

    def ship(self) -> None:
        """All that has ended is in the database."""
        self.keep([row for row, _ in self.store.ledger._drain()])

    def keep(self, rows: Sequence[Row]) -> None:
        """Rows as the ledger would ship them."""
        connection = self.store.database._do(lambda connection: connection)
        connection.add(rows, lambda: rollups.add(connection, rows))
        self.store.ledger.kept = self.store.ledger.ended

    def ask(self, method: str, path: str, body: Any = None, key: str = ADMIN, **headers: str) -> Response:
        """One request, with a key."""
        sent = {"authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.edge.ask(method, path, body, headers=sent)

    def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The document of a request that is answered well."""
        response = self.ask(method, path, body, **more)
        self.assertIn(response.status, (200, 201), response.body)
        return json.loads(response.body)

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """Status and message of one that is not."""
        response = self.ask(method, path, body, **more)
        self.assertGreaterEqual(response.status, 400, response.body)
        return response.status, json.loads(response.body)["error"]["message"]

    def key(self, name: str = "app", **more: Any) -> Any:
        """A new key."""
        return self.done("POST", "/admin/v1/keys", {"name": name, **more})

    def chat(self, key: str, model: str = "mock/x", **more: Any) -> Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        return self.ask("POST", "/v1/chat/completions", body, key)
