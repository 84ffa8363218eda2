"""What the directory knows, and what was spent, on the local disk: a process starts, knows its callers and what they
may still spend, while the database is away.

They hold no key, only hashes, and show with the pepper that nobody else has written them.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from llmedge.entities import Entity, KeySecret
from llmedge.identity.secrets import Pepper


class Snapshot(msgspec.Struct, frozen=True):
    """Of the directory."""

    revision: int
    entities: list[Entity]
    secrets: list[KeySecret]


class Spends(msgspec.Struct, frozen=True):
    """:ivar of: by a fund's id: when its period began, what was spent, how much more there is, until when.

    :ivar at: seconds since 1970 when that was so.
    """

    of: dict[str, tuple[int, int, int, float]] = {}
    at: float = 0.0


Kind = TypeVar("Kind", Snapshot, Spends)
_encode = msgspec.json.Encoder().encode


def write(path: Path, snapshot: Snapshot | Spends, pepper: Pepper) -> None:
    """:raises OSError: the disk refuses; what was there stays."""
    data = _encode(snapshot)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pepper.seal(data).hex().encode() + b"\n" + data)
    new.replace(path)


def read(path: Path, peppers: Iterable[Pepper], kind: type[Kind]) -> Kind | None:
    """What was written last; ``None``: nothing, or nothing that one of these peppers has sealed."""
    try:
        seal, _, data = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if not any(hmac.compare_digest(pepper.seal(data).hex().encode(), seal) for pepper in peppers):
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
