"""What the cache costs and saves: one gateway with it beside one without, before the same stub, in turns."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.gateway import KEY, Gateway, cpu_seconds
from benchmarks.rows import ASK, CHAT, requests_in, wrk

ON = "[cache]\nenabled = true\n"
ROUNDS = 9
"""Of which the median counts: each kind is asked for once in each, so that all have the same neighbours."""
OFF, MISS, HIT = "cache off", "miss", "hit"
"""Kinds of calls. What a gateway without the cache is asked is another question each time, as for misses."""


def _lua(stream: bool, same: bool) -> str:
    """A script for wrk that asks for a chat, ``same`` each time or another one."""
    question = "hello " * 19 + ("same" if same else "%s")
    said = json.dumps({**ASK, "model": "proxied", "stream": stream}, separators=(",", ":"))
    said = said.replace(ASK["messages"][0]["content"], question)
    return (
        f'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {KEY}"\n'
        f"math.randomseed(os.time())\nlocal run, number = math.random(1e9), 0\n"
        "function request()\n  number = number + 1\n"
        f'  return wrk.format("POST", nil, nil, string.format([[{said}]], run .. "-" .. number))\nend\n'
    )


def caching(off: Gateway, on: Gateway, seconds: int, connections: int) -> dict[str, dict[str, Any]]:
    """CPU in us a call of each kind, and its share of a call's of the same round without the cache, in percent."""
    found: dict[str, dict[str, Any]] = {}
    for stream in (False, True):
        kinds = {OFF: (off, _lua(stream, False)), MISS: (on, _lua(stream, False)), HIT: (on, _lua(stream, True))}
        for gateway, script in kinds.values():
            wrk(gateway.url + CHAT, script, 1, connections)
        rounds = [_round(kinds, seconds, connections) for _ in range(ROUNDS)]
        for kind in kinds:
            found[f"{'60-event stream' if stream else 'chat'}, {kind}"] = {
                "cpu_us": round(statistics.median(each[kind] for each in rounds), 1),
                "percent_of_off": round(statistics.median(each[kind] / each[OFF] * 100 for each in rounds), 1),
            }
    return found


def _round(kinds: Mapping[str, tuple[Gateway, str]], seconds: int, connections: int) -> dict[str, float]:
    spent = {}
    for kind, (gateway, script) in kinds.items():
        before = cpu_seconds(gateway.pid)
        text = wrk(gateway.url + CHAT, script, seconds, connections)
        assert "Non-2xx" not in text, text
        spent[kind] = (cpu_seconds(gateway.pid) - before) / requests_in(text) * 1e6
    return spent
