"""``make clients``: every client with a vendor of every dialect, as a table, and what is wrong below it.

More than ``test_conversations`` tries: agents go on with a conversation that has ended, and there are more of them.
With names of clients as arguments, only those whose name has one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.e2e.conversations import agents, held
from tests.e2e.conversations.vendors import DIALECTS

CLIENTS: dict[str, Callable[[held.Stage], Awaitable[held.Results]]] = {
    **{
        kind.way or kind.name: lambda stage, kind=kind: held.agents(stage, kind, many=2)
        for kind in agents.AGENTS + agents.MORE
    },
    "AI SDK": lambda stage: held.node(stage, "ai_sdk"),
    "@google/genai": lambda stage: held.node(stage, "google_genai"),
    "langchain-google-genai": lambda stage: held.python(stage, "langchain_google"),
    "pydantic-ai": lambda stage: held.python(stage, "pydantic_agents"),
    "llama-index": lambda stage: held.python(stage, "llama_index_agents", held.llama_index()),
}


def mark(problem: str | None) -> str:
    return "-" if problem is None else "FAIL" if problem else "ok"


def row(*cells: str) -> None:
    print(f"{cells[0]:<30}" + "".join(f"{cell:<11}" for cell in cells[1:]), flush=True)


async def everything(wanted: list[str]) -> held.Results:
    results: held.Results = {}
    for name, hold in CLIENTS.items():
        if wanted and not any(each in name for each in wanted):
            continue
        stage = await held.Stage().start()
        try:
            found = await hold(stage)
        finally:
            await stage.stop()
        for way in dict.fromkeys(way for way, _ in found):
            row(way, *(mark(found.get((way, vendor))) for vendor in DIALECTS))
        results |= found
    return results


async def main(_: Any, *wanted: str) -> None:
    row("client", *DIALECTS)
    results = await everything(list(wanted))
    failed = {pair: problem for pair, problem in results.items() if problem}
    for (way, vendor), problem in failed.items():
        print(f"\n{way}, vendor {vendor}: {problem}")
    print(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    react(lambda reactor, *wanted: Deferred.fromCoroutine(main(reactor, *wanted)), sys.argv[1:])
