"""The command ``llmedge`` and its subcommands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TextIO

from twisted.python.usage import Options, UsageError

from llmedge._version import __version__
from llmedge.cli import apply
from llmedge.cli.cache import CACHE_COMMANDS, Cache
from llmedge.cli.client import Client, Problem
from llmedge.cli.options import Answering, Asking, Printer
from llmedge.cli.tables import plain, table


class KeyCreate(Asking):
    """llmedge key create NAME"""

    synopsis = "NAME [options]"
    longdesc = "Makes a key, and shows its secret: this once."
    arguments = ("NAME",)
    optParameters: list[list[Any]] = [
        ["team", "t", None, "Its team, by name or id."],
        ["project", None, None, "Its project."],
        ["user", None, None, "Whose it is."],
        ["models", "m", None, "Patterns of the models it may ask for, comma-separated."],
        ["rpm", None, None, "Requests a minute.", int],
        ["tpm", None, None, "Tokens a minute.", int],
        ["max-concurrency", None, None, "Calls under way.", int],
        ["budget", "b", None, "What it may spend: USD/PERIOD, such as 50/month."],
        ["expires", None, None, "When it ceases to be one, such as 2026-12-31."],
        ["roles", None, None, "What it may do, comma-separated (default: caller)."],
        ["tags", None, None, "Words its calls are found by, comma-separated."],
        ["guardrails", None, None, "Guardrails that its calls go through besides, comma-separated."],
    ]

    def body(self) -> dict[str, Any]:
        """For the admin API."""
        body: dict[str, Any] = {"name": self["NAME"]}
        for option in ("team", "project", "user", "rpm", "tpm", "max-concurrency", "expires"):
            if self[option] is not None:
                body[option.replace("-", "_")] = self[option]
        for option in ("models", "roles", "tags", "guardrails"):
            if self[option] is not None:
                body[option] = [part.strip() for part in self[option].split(",") if part.strip()]
        if self["budget"] is not None:
            amount, _, period = self["budget"].partition("/")
            body["budgets"] = [{"amount": amount, **({"period": period} if period else {})}]
        return body


class KeyList(Asking):
    """llmedge key list"""

    longdesc = "The keys there are, without their secrets."
    optParameters: list[list[Any]] = [["team", "t", None, "Only those of this team, by name or id."]]


class KeyRotate(Asking):
    """llmedge key rotate NAME"""

    synopsis = "NAME [options]"
    longdesc = "Gives a key a new secret and shows it; the old one is good for a while."
    arguments = ("NAME",)
    optParameters: list[list[Any]] = [["grace", None, 86400, "Seconds that the old secret is good for.", int]]


class OneKey(Asking):
    """One key, by its name or id."""

    synopsis = "NAME [options]"
    arguments = ("NAME",)


class Key(Options):
    """llmedge key"""

    subCommands = [
        ["create", None, KeyCreate, "Make a key."],
        ["list", None, KeyList, "The keys there are."],
        ["show", None, OneKey, "One key."],
        ["rotate", None, KeyRotate, "A new secret for a key."],
        ["disable", None, OneKey, "Let a key in no more, for now."],
        ["enable", None, OneKey, "Let it in again."],
        ["delete", None, OneKey, "Take a key away for good."],
    ]


class Spend(Asking):
    """llmedge spend"""

    longdesc = "What was spent; by default in the last 30 days, by key."
    optParameters: list[list[Any]] = [
        ["by", None, "key", "key, team, project, organization, user, model, provider, day or hour, comma-separated."],
        ["from", None, None, "The first day or moment, such as 2026-11-01."],
        ["to", None, None, "The day or moment before which it ends."],
        ["key", None, None, "Only of this key, by name or id."],
        ["team", None, None, "Only of this team, by name or id."],
        ["model", None, None, "Only of this model."],
    ]


class Call(Asking):
    """llmedge call REQUEST_ID"""

    synopsis = "REQUEST_ID [options]"
    longdesc = "One call: what it cost, and why it went where it went. The id is in the answer's x-request-id."
    arguments = ("REQUEST_ID",)


class Apply(Asking):
    """llmedge apply FILE"""

    synopsis = "FILE [options]"
    longdesc = (
        "Has organizations, teams, projects, users, roles and keys be as a TOML file says. Harmless when repeated."
    )
    arguments = ("FILE",)
    optFlags = [["dry-run", "n", "Show what would be done, and do nothing."]]


class GuardTest(Answering):
    """llmedge guard test [FILE]"""

    synopsis = "[FILE] [options]"
    longdesc = (
        "How good guardrails are at labelled lines: precision and recall of each kind, traps flagged, CPU time. "
        'A line is {"text": "…", "spans": [[start, end, kind], …]}, or {"text": "…", "injection": true}. Asks nobody.'
    )
    arguments = ("[FILE]",)
    optParameters: list[list[Any]] = [
        [
            "config",
            "c",
            None,
            "Try the [[guardrails]] of this file, on their samples if there is no FILE (default: pii and secrets).",
        ],
    ]


class Guard(Options):
    """llmedge guard"""

    subCommands = [["test", None, GuardTest, "How good guardrails are at labelled lines."]]


class Through(Options):
    """Everything behind it is for ``twist llmedge``."""

    rest: tuple[str, ...] = ()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        self.rest = tuple(options or ())


class Main(Options):
    """llmedge"""

    synopsis = "Usage: llmedge COMMAND [options]"
    longdesc = "An LLM edge gateway: runs it, and manages its keys, budgets and spend."
    subCommands = [
        ["run", None, Through, "Run the gateway; options as for twist llmedge."],
        ["check", None, Through, "Say whether the configuration is good, and what would run."],
        ["schema", None, Through, "Print the JSON Schema of the configuration file."],
        ["migrate", None, Through, "Bring the store's database up to this release, and end."],
        ["key", None, Key, "Make, look at, change keys."],
        ["spend", None, Spend, "What was spent."],
        ["call", None, Call, "One call, with every decision."],
        ["guard", None, Guard, "Try guardrails on labelled lines."],
        ["cache", None, Cache, "What the cache does, and would do."],
        ["apply", None, Apply, "Teams, keys, budgets and roles as a file says."],
    ]

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"llmedge {__version__}")
        raise SystemExit(0)


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run the command; its exit status.

    :param arguments: behind the command's name; by default the process's.
    """
    options = Main()  # type: ignore[no-untyped-call]  # twisted has no types here
    out = sys.stdout if out is None else out
    try:
        options.parseOptions(list(sys.argv[1:] if arguments is None else arguments))  # type: ignore[no-untyped-call]
        command, given = _chosen(options)
    except UsageError as error:
        print(f"llmedge: {error}; llmedge --help says what there is", file=sys.stderr)
        return 1
    try:
        if isinstance(given, Through):
            _become(command, given.rest)
        COMMANDS[command](given, Printer(out, bool(given.get("json"))))
    except Problem as problem:
        print(plain(f"llmedge: {problem}"), file=sys.stderr)
        return 1
    return 0


def _chosen(options: Options) -> tuple[str, Any]:
    words = []
    chosen: Any = options
    while getattr(chosen, "subCommands", None):
        if chosen.subCommand is None:
            raise UsageError(f"give a command: {', '.join(each[0] for each in chosen.subCommands)}")
        words.append(chosen.subCommand)
        chosen = chosen.subOptions
    return " ".join(words), chosen


def _become(command: str, rest: Sequence[str]) -> NoReturn:
    """Go on as ``twist llmedge``."""
    flag = [] if command == "run" else [f"--{command}"]
    os.execv(sys.executable, [sys.executable, "-m", "twisted", "llmedge", *flag, *rest])  # noqa: S606 - no shell


def _find(client: Client, name: str) -> dict[str, Any]:
    """The key of that name or id.

    :raises Problem: there is none.
    """
    for each in client.pages("/admin/v1/keys"):
        if name in (each["name"], each["id"]):
            found: dict[str, Any] = client.ask("GET", f"/admin/v1/keys/{each['id']}")
            return found
    raise Problem(f"there is no key {name!r}; llmedge key list shows those there are")


def _fields(document: Mapping[str, Any]) -> str:
    """A document as lines."""
    width = max(map(len, document), default=0)
    return "".join(f"{name.ljust(width)}  {_shown(value)}\n" for name, value in document.items())


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def key_create(options: Any, out: Printer) -> None:
    made = options.client().ask("POST", "/admin/v1/keys", options.body())
    out.document(made, f"{made['key']}\n{made['name']} is {made['id']}. Its secret is shown this once.\n")


def key_list(options: Any, out: Printer) -> None:
    client = options.client()
    teams = {each["id"]: each["name"] for each in client.pages("/admin/v1/teams")}
    keys = [
        each
        for each in client.pages("/admin/v1/keys")
        if options["team"] in (None, each["team"], teams.get(each["team"]))
    ]
    rows = (
        (
            *(
                each["name"],
                each["id"],
                teams.get(each["team"], each["team"]),
                each["state"],
                each.get("models", ["*"]),
            ),
            *(each.get("rpm"), each.get("tpm"), _budgets(each), each.get("expires")),
        )
        for each in keys
    )
    out.document(keys, table(("name", "id", "team", "state", "models", "rpm", "tpm", "budgets", "expires"), rows))


def _budgets(key: Mapping[str, Any]) -> list[str]:
    return [f"{each['amount']}/{each.get('period', 'month')}" for each in key.get("budgets", ())]


def key_show(options: Any, out: Printer) -> None:
    found = _find(options.client(), options["NAME"])
    out.document(found, _fields(found))


def key_rotate(options: Any, out: Printer) -> None:
    client = options.client()
    found = _find(client, options["NAME"])
    made = client.ask("POST", f"/admin/v1/keys/{found['id']}/rotate", {"grace_period": options["grace"]})
    out.document(made, f"{made['key']}\nThe old secret is good for {options['grace']} seconds more.\n")


def _change(state: str) -> Callable[[Any, Printer], None]:
    def change(options: Any, out: Printer) -> None:
        client = options.client()
        found = _find(client, options["NAME"])
        made = client.ask("PATCH", f"/admin/v1/keys/{found['id']}", {"state": state}, version=found["version"])
        out.document(made, f"{found['name']} is {state}.\n")

    return change


def key_delete(options: Any, out: Printer) -> None:
    client = options.client()
    found = _find(client, options["NAME"])
    gone = client.ask("DELETE", f"/admin/v1/keys/{found['id']}", version=found["version"])
    out.document(gone, f"{found['name']} is deleted. Its calls keep its name.\n")


def spend(options: Any, out: Printer) -> None:
    names = ("by", "from", "to", "key", "team", "model")
    found = options.client().ask("GET", "/admin/v1/spend", query={name: options[name] for name in names})
    by = found["by"]
    figures = ("calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls")
    total = ["total", *[""] * (len(by) - 1)] if by else []
    rows = [
        *(
            [*(each.get(f"{name}_name") or each[name] for name in by), *(each[name] for name in figures)]
            for each in found["data"]
        ),
        [*total, *(found["total"][name] for name in figures)],
    ]
    out.document(found, table([*by, *figures], rows))


def call(options: Any, out: Printer) -> None:
    found = options.client().ask("GET", f"/admin/v1/calls/{options['REQUEST_ID']}")
    decision = dict(found.get("decision", {}))
    names = ("target", "kind", "outcome", "cause", "status", "queued", "ended", "input", "output", "cost_usd")
    rows = [[each.get(name) for name in names] for each in decision.pop("attempts", ())]
    passed = "".join(f"passed over: {each['target']}: {each['why']}\n" for each in decision.pop("passed_over", ()))
    plain = {name: value for name, value in found.items() if name not in ("decision", "others")}
    out.document(found, f"{_fields(plain | decision)}\n{table(names, rows)}{passed}")


def guard_test(options: Any, out: Printer) -> None:
    from llmedge.cli import guard  # only here: it brings the types of guardrails

    out.document(*guard.test(options.get("FILE", ""), options["config"]))


def apply_file(options: Any, out: Printer) -> None:
    client = options.client()
    said: list[dict[str, Any]] = []
    lines: list[str] = []
    for step in apply.plan(client, apply.read(options["FILE"])):
        secret = "" if options["dry-run"] else apply.carry_out(client, step)
        done = {"kind": step.kind, "name": step.name, "action": step.action, "differences": list(step.differences)}
        said.append(done | ({"key": secret} if secret else {}))
        if step.action != "none":
            lines.append(f"{step.action} {step.kind} {step.name}")
            lines += [f"    {line}" for line in step.differences]
            lines += [f"    its secret, shown this once: {secret}"] if secret else []
    changed = sum(each["action"] != "none" for each in said)
    would = "would be " if options["dry-run"] else ""
    lines.append(f"{changed} of {len(said)} {would}changed")
    out.document(said, _joined(lines))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


COMMANDS: Mapping[str, Callable[[Any, Printer], None]] = {
    "key create": key_create,
    "key list": key_list,
    "key show": key_show,
    "key rotate": key_rotate,
    "key disable": _change("disabled"),
    "key enable": _change("active"),
    "key delete": key_delete,
    "spend": spend,
    "call": call,
    "guard test": guard_test,
    "apply": apply_file,
    **CACHE_COMMANDS,
}
