"""``python -m benchmarks.dialects``: CPU per event of a stream, passed through and translated, for each pair.

A stream of ``--events`` pieces of text is fed as it comes from a socket, ``--batch`` events a read. What is counted is
everything between the bytes in and the frames out; the best of ``--rounds`` is told, since other work only adds.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext, StreamReader, TranslatedReader
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Usage

ASKERS = ("openai_chat", "openai_responses", "anthropic", "gemini")
VENDORS = (*ASKERS, "bedrock")
LIMIT = 1_000_000


def events(count: int) -> list[ir.StreamEvent]:
    """A thought, a text and a call, most of it text."""
    words = [f"wörd {number} " for number in range(count)]
    return [
        ir.Begin("id", "model", 1),
        ir.Open(0, "text"),
        *(ir.Delta(0, word) for word in words),
        ir.Close(0),
        ir.Open(1, "tool", tool_id="call_1", name="f"),
        ir.Delta(1, '{"a":1}'),
        ir.Close(1),
        ir.Finish("tool"),
        ir.Counted(Usage(10, count)),
        ir.End(),
    ]


def reads(vendor: str, count: int, batch: int) -> list[bytes]:
    """What the socket brings."""
    dialect: Any = DIALECTS[vendor]
    frames = [event.frame for event in dialect.encoder(ResponseContext("m", wants_usage=True)).encode(events(count))]
    return [b"".join(frames[start : start + batch]) for start in range(0, len(frames), batch)]


def reader(asker: str, vendor: str) -> StreamReader:
    speaks: Any = DIALECTS[asker]
    spoken: Any = DIALECTS[vendor]
    if asker == vendor:
        passed: StreamReader = spoken.reader(strip_usage=True, choices=1, max_event=LIMIT)
        return passed
    return TranslatedReader(
        spoken.decoder(choices=1, max_event=LIMIT), speaks.encoder(ResponseContext("m", wants_usage=True))
    )


def spent(asker: str, vendor: str, data: list[bytes]) -> float:
    """CPU seconds of one stream."""
    begun = time.process_time()
    each = reader(asker, vendor)
    for piece in data:
        each.feed(piece)
    if vendor == "gemini":
        each.end()
    return time.process_time() - begun


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, nargs="+", default=[60, 1000])
    options.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    options.add_argument("--rounds", type=int, default=25)
    asked = options.parse_args()
    for count in asked.events:
        for batch in asked.batch:
            print(f"\nCPU µs per event, {count} events, {batch} a read (client down, vendor across)\n")
            print(" " * 18 + "".join(f"{vendor:>18}" for vendor in VENDORS))
            for asker in ASKERS:
                row = f"{asker:<18}"
                for vendor in VENDORS:
                    data = reads(vendor, count, batch)
                    best = min(spent(asker, vendor, data) for _ in range(asked.rounds))
                    row += f"{best / count * 1e6:>17.1f}{'*' if asker == vendor else ' '}"
                print(row)
    print("\n* passed through")


if __name__ == "__main__":
    main()
