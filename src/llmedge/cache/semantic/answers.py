"""What is said in an answer that is kept. Pure; up to some milliseconds."""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.dialects.dialect import ChatDialect
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.surrogates import mending
from llmedge.dialects.whole import events_of

MAX_EVENT = 1 << 24


def said_in(dialect_name: str, body: bytes, stream: bool, choices: int = 1) -> str:
    """The text of an answer, without its thoughts.

    :param body: the answer, or all frames of a stream.
    :raises EdgeError: it is none.
    """
    dialect = DIALECTS[dialect_name]
    assert isinstance(dialect, ChatDialect), "only chats are read"
    if stream:
        events = dialect.decoder(choices=choices, max_event=MAX_EVENT).feed(body)
    else:
        events = events_of(mending(dialect.parse_answer, body))
    texts: dict[int, list[str]] = {}
    spoken: set[tuple[int, int]] = set()
    for event in events:
        if isinstance(event, ir.Open) and event.kind in ("text", "refusal"):
            spoken.add((event.choice, event.block))
        elif isinstance(event, ir.Delta) and (event.choice, event.block) in spoken:
            texts.setdefault(event.choice, []).append(event.text)
    return "\n".join("".join(texts[choice]) for choice in sorted(texts))
