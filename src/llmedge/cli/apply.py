"""``llmedge apply FILE``: organizations, teams, projects, users, roles and keys as a file says, by their names.

What the file does not name stays as it is. A setting that the file does not say is taken away from what it names, so
that the file is all there is to know. Keys that are new get a secret, which is shown once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from llmedge.cli.client import Client, Problem

KINDS = ("role", "organization", "team", "project", "user", "key")
"""In the order in which they are made: each may belong to those before it."""
_OWN = {"id", "object", "created_at", "created_by", "updated_at", "version", "secrets", "name", "state"}
_PLACES = ("organization", "team", "project", "user")


@attrs.frozen
class Step:
    """What is to be done with one of them.

    :ivar action: ``create``, ``change`` or ``none``.
    :ivar body: for the admin API. ``differences``: a line each.
    """

    kind: str
    name: str
    action: str
    id: str = ""
    version: int | None = None
    body: Mapping[str, Any] = {}
    differences: tuple[str, ...] = ()


def read(path: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What a file says, by kind and name.

    :raises Problem: it cannot be read, or says something that is not known.
    """
    try:
        said = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Problem(f"{path}: is not TOML: {error}") from None
    wanted: dict[str, dict[str, dict[str, Any]]] = {}
    for table, entries in said.items():
        kind = table.removesuffix("s")
        if kind not in KINDS or not table.endswith("s"):
            raise Problem(f"{path}: [{table}] is not known; there are {', '.join(f'[{each}s]' for each in KINDS)}")
        if not isinstance(entries, dict) or not all(isinstance(each, dict) for each in entries.values()):
            raise Problem(f"{path}: [{table}] must hold tables: [{table}.NAME]")
        wanted[kind] = entries
    return wanted


def plan(client: Client, wanted: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Step]:
    """What is to be done, in order."""
    names: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        if kind not in wanted and not any(kind in entry for of in wanted.values() for entry in of.values()):
            continue
        there = {each["name"]: each for each in client.pages(f"/admin/v1/{kind}s")}
        names[kind] = {each["id"]: each["name"] for each in there.values()}
        for name, said in wanted.get(kind, {}).items():
            yield _step(kind, name, said, there.get(name), names)


def _step(
    kind: str,
    name: str,
    said: Mapping[str, Any],
    there: Mapping[str, Any] | None,
    names: Mapping[str, Mapping[str, str]],
) -> Step:
    if there is None:
        new = tuple(f"+ {field} = {value!r}" for field, value in said.items())
        return Step(kind, name, "create", body={"name": name, **said}, differences=new)
    now = {field: value for field, value in there.items() if field not in _OWN and value is not None}
    for place in _PLACES:
        if place in now:
            now[place] = names.get(place, {}).get(now[place], now[place])
    wanted = {field: _plain(value) for field, value in said.items() if field != "state"}
    body: dict[str, Any] = {}
    lines: list[str] = []
    for field in sorted({*now, *wanted}):
        before, after = now.get(field), wanted.get(field)
        if before != after:
            body[field] = after
            lines += [f"- {field} = {before!r}"] if before is not None else []
            lines += [f"+ {field} = {after!r}"] if after is not None else []
    state = said.get("state", "active")
    if state != there["state"]:
        body["state"] = state
        lines.append(f"+ state = {state!r}")
    action = "change" if body else "none"
    return Step(kind, name, action, there["id"], there["version"], body, tuple(lines))


def _plain(value: Any) -> Any:
    """As JSON has it: moments are texts."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def carry_out(client: Client, step: Step) -> str:
    """Do it; the secret of a key that was made, else ``""``.

    :raises Problem: it is refused.
    """
    if step.action == "create":
        made = client.ask("POST", f"/admin/v1/{step.kind}s", _plain(dict(step.body)))
        return str(made.get("key", ""))
    if step.action == "change":
        client.ask("PATCH", f"/admin/v1/{step.kind}s/{step.id}", _plain(dict(step.body)), version=step.version)
    return ""
