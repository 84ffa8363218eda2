"""``llmedge cache``: what the cache does, and would do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.python.usage import Options

from llmedge.cli.client import Client, Problem
from llmedge.cli.options import Asking, Printer
from llmedge.cli.tables import table

if TYPE_CHECKING:
    from llmedge.cache.semantic.trial import Judge, Outcome, Pair


class CacheTest(Asking):
    """llmedge cache test FILE"""

    synopsis = "FILE [options]"
    longdesc = (
        "What the cache by meaning would make of pairs of questions: lines of JSON with a, b and same (whether one "
        "answer does for both), before_a and before_b where something was said before. Serves nothing, and needs no "
        "gateway unless a model is the judge: that is asked through the one at --url with the key in LLMEDGE_KEY."
    )
    arguments = ("FILE",)
    optParameters: list[list[Any]] = [
        ["judge", None, "labels", "Who judges for the rule verified: labels (what the file says), or a model."],
        ["threshold", None, 0.75, "As cache.semantic.threshold.", float],
    ]
    optFlags = [["missed", None, "List what could be served and is not, too, and why."]]


class CacheStats(Asking):
    """llmedge cache stats"""

    longdesc = "How the cache of a gateway that runs stands."


class CachePurge(Asking):
    """llmedge cache purge"""

    longdesc = "Has answers forgotten: of all that is given together; at once, for all who share the cache."
    optParameters: list[list[Any]] = [
        ["scope", None, None, "A scope, such as team:ID, key:ID or shared."],
        ["key", None, None, "A key, by name or id."],
        ["model", None, None, "A model, as metrics call it."],
        ["namespace", None, None, "What clients sent as x-llmedge-cache-namespace."],
    ]
    optFlags = [["all", None, "All answers there are."]]


class CacheWarm(Asking):
    """llmedge cache warm FILE"""

    synopsis = "FILE [options]"
    longdesc = (
        "Asks each line of a file, as any client would, so that answers are kept: a body of /v1/chat/completions, or "
        '{"path": ..., "body": ...}. With the key in LLMEDGE_KEY, within its limits and budgets.'
    )
    arguments = ("FILE",)


class Cache(Options):
    """llmedge cache"""

    subCommands = [
        ["stats", None, CacheStats, "How it stands."],
        ["purge", None, CachePurge, "Have answers forgotten."],
        ["warm", None, CacheWarm, "Ask the questions of a file, to have their answers kept."],
        ["test", None, CacheTest, "Try the cache by meaning on pairs of questions."],
    ]


def cache_stats(options: Any, out: Printer) -> None:
    found = options.client().ask("GET", "/admin/v1/cache")
    rows = [(name, value) for name, value in found.items() if name not in ("object", "semantic")]
    text = table(("what", "now"), rows)
    if (by_meaning := found.get("semantic")) is not None:
        text += "\n" + table(("by meaning", "now"), [each for each in by_meaning.items() if each[0] != "audits"])
        names = ("scope", "model", "rule", "right", "wrong", "wrong_at_most", "serving", "pauses")
        text += "\n" + table(names, [[each[name] for name in names] for each in by_meaning["audits"]])
    out.document(found, text)


def cache_purge(options: Any, out: Printer) -> None:
    """:raises Problem: nothing is said of what."""
    wanted = {name: options[name] for name in ("scope", "key", "model", "namespace") if options[name]}
    if bool(wanted) == bool(options["all"]):
        raise Problem("say what: --scope, --key, --model, --namespace, or --all by itself")
    done = options.client().ask("POST", "/admin/v1/cache/purge", wanted or {"all": True})
    where = "" if done["everywhere"] else " here; Redis is away, and others hear of it when it is back"
    out.document(done, f"{done['purged']} is forgotten{where}.\n")


def cache_warm(options: Any, out: Printer) -> None:
    """:raises Problem: the file cannot be read, or a call fails; those before it are kept."""
    client, done = options.client("LLMEDGE_KEY"), 0
    try:
        with open(options["FILE"], encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise Problem(f"{options['FILE']}: {error}") from None
    for number, said in enumerate(lines, 1):
        if not isinstance(said, dict):
            raise Problem(f"{options['FILE']}: line {number} is no object")
        path, body = (said["path"], said["body"]) if {"path", "body"} == said.keys() else (_CHATS, said)
        try:
            client.read("POST", str(path), body)  # a stream, maybe
        except Problem as problem:
            raise Problem(f"line {number}: {problem} ({done} of {len(lines)} were asked)") from None
        done += 1
    out.document({"object": "cache.warm", "asked": done}, f"{done} questions were asked.\n")


_CHATS = "/v1/chat/completions"


def cache_test(options: Any, out: Printer) -> None:
    """:raises Problem: the file cannot be read, a package is missing, the judge does not answer."""
    try:
        from llmedge.cache.semantic import trial
        from llmedge.cache.semantic.embedder import MiniLM

        embed = MiniLM()
    except (ImportError, OSError, ValueError) as error:
        raise Problem(f"it needs other packages: pip install 'llmedge[semantic]' ({error})") from None
    try:
        with open(options["FILE"], "rb") as file:
            pairs = trial.read(file)
    except (OSError, ValueError) as error:
        raise Problem(f"{options['FILE']}: {error}") from None
    judge = _labels if options["judge"] == "labels" else _asking(options.client("LLMEDGE_KEY"), options["judge"])
    found = list(trial.outcomes(pairs, embed, options["threshold"], judge))
    sums = {rule: trial.summed((each.pair, getattr(each, rule)) for each in found) for rule in ("strict", "verified")}
    wrong = [each for each in found if not each.pair.same and (each.strict or each.verified)]
    missed = [each for each in found if each.pair.same and not (each.strict or each.verified)]
    document: dict[str, Any] = {
        rule: {**attrs.asdict(each), "recall": round(each.recall, 4)} for rule, each in sums.items()
    }
    document["wrong"] = list(map(_shown, wrong))
    rows = [[rule, each.pairs, each.same, each.hits, each.wrong, f"{each.recall:.2f}"] for rule, each in sums.items()]
    text = table(("rule", "pairs", "same", "hits", "wrong hits", "recall"), rows)
    text += "".join(f"wrong hit: {_line(each)}\n" for each in wrong)
    if options["missed"]:
        document["missed"] = list(map(_shown, missed))
        text += "".join(f"missed ({each.why}): {_line(each)}\n" for each in missed)
    out.document(document, text)


def _labels(pair: Pair) -> bool:
    return pair.same


def _asking(client: Client, model: str) -> Judge:
    from llmedge.cache.semantic.judge import same_question, verdict

    def ask(pair: Pair) -> bool | None:
        messages = same_question(pair.a, pair.b, pair.before_a)
        body = {"model": model, "messages": messages}
        try:
            answer = client.ask("POST", "/v1/chat/completions", body | {"temperature": 0})
        except Problem as problem:
            if problem.status not in (400, 422):
                raise
            answer = client.ask("POST", "/v1/chat/completions", body)  # models that think take no temperature
        try:
            return verdict(answer["choices"][0]["message"]["content"] or "")
        except (LookupError, TypeError):
            raise Problem(f"{model} answered with something that is no answer of a chat") from None

    return ask


def _shown(each: Outcome) -> dict[str, Any]:
    return {
        "a": each.pair.a,
        "b": each.pair.b,
        "why": each.why,
        "likeness": round(each.likeness, 3),
        "strict": each.strict,
        "verified": each.verified,
    }


def _line(each: Outcome) -> str:
    rules = [rule for rule in ("strict", "verified") if getattr(each, rule)]
    return f"{' | '.join((each.pair.a, each.pair.b))}" + (f" ({', '.join(rules)})" if rules else "")


CACHE_COMMANDS: Mapping[str, Callable[[Any, Printer], None]] = {
    "cache stats": cache_stats,
    "cache purge": cache_purge,
    "cache warm": cache_warm,
    "cache test": cache_test,
}
