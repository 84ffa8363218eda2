"""What the directory knows, on the local disk: a process starts, and knows its callers, while the database is away.

It holds hashes only, and shows with the pepper that nobody else has written it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llmedge.entities import Entity, KeySecret
from llmedge.identity.secrets import Pepper


class Snapshot(msgspec.Struct, frozen=True):
    """:ivar spent: of each fund, by its id: when its period began, and picos."""

    revision: int
    entities: list[Entity]
    secrets: list[KeySecret]
    spent: dict[str, tuple[int, int]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Snapshot).decode


def write(path: Path, snapshot: Snapshot, pepper: Pepper) -> None:
    """:raises OSError: the disk refuses; what was there stays."""
    data = _encode(snapshot)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pepper.seal(data).hex().encode() + b"\n" + data)
    new.replace(path)


def read(path: Path, peppers: Iterable[Pepper]) -> Snapshot | None:
    """What was written last; ``None``: nothing, or nothing that one of these peppers has sealed."""
    try:
        seal, _, data = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if not any(hmac.compare_digest(pepper.seal(data).hex().encode(), seal) for pepper in peppers):
        return None
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return None
