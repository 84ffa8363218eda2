"""What the scripts of Python clients share: ``python -m … URL KEY MODEL...`` holds the conversation with each model.

Prints a line for each way the client has and each model: way, its dialect, model, and what went wrong, if anything.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping

URL, KEY, *MODELS = sys.argv[1:]
QUESTIONS = [f"Question {number}" for number in (1, 2, 3)]


def note(name: str) -> str:
    if name == "missing":
        raise ValueError("there is no such note")
    return f"note {name} says forty-two"


def converse(ways: Mapping[str, tuple[str, Callable[[str], Awaitable[list[str]]]]]) -> None:
    async def hold() -> None:
        for way, (dialect, talk) in ways.items():
            for model in MODELS:
                try:
                    done = await talk(model)
                    wanted = [f"Done: {question}." for question in QUESTIONS]
                    problem = "" if done == wanted else f"said {done}"
                except Exception:
                    problem = traceback.format_exc()
                print(json.dumps([way, dialect, model, problem]), flush=True)

    asyncio.run(hold())
