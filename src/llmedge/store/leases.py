"""What has to be done by one process among all that share a database."""

from __future__ import annotations

from llmedge.store.database import Connection


def take(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Whether ``holder`` has the lease ``name`` for ``seconds`` from now on: it is free, has run out, or is its own."""
    with connection.transaction():
        return take_within(connection, name, holder, seconds)


def take_within(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """The same, in the transaction that is open."""
    now = connection.now()
    return bool(
        connection.execute(
            "INSERT INTO lease (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET holder = excluded.holder, until = excluded.until WHERE lease.until < ? OR lease.holder = ?",
            [name, holder, now + round(seconds * 1_000_000), now, holder],
        )
    )


def forget(connection: Connection) -> None:
    """Those that have run out."""
    with connection.transaction():
        connection.execute("DELETE FROM lease WHERE until < ?", [connection.now()])


def give_back(connection: Connection, name: str, holder: str) -> None:
    """Before it runs out."""
    with connection.transaction():
        connection.execute("DELETE FROM lease WHERE name = ? AND holder = ?", [name, holder])
