"""``[[guardrails]]``: what is looked for in what is asked and answered, and what becomes of it."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option

ASKED = ("request", "history", "system", "tool_results", "tool_calls", "tools")
"""Where a request has texts."""
PLACES = (*ASKED, "response")
_ALIASES = {"input": ASKED, "pre_call": ASKED, "during_call": ("during_call", *ASKED), "post_call": ("response",)}
"""LiteLLM's words (docs.litellm.ai/docs/proxy/guardrails/quick_start), and ``input``."""


def _places(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise ValueError('must be a list such as ["request", "tool_results"]')
    found: dict[str, None] = {}
    for word in words:
        if word not in PLACES and word not in _ALIASES:
            raise ValueError(f"must be of {', '.join((*PLACES, *_ALIASES))}; {word!r} is none")
        found |= dict.fromkeys(_ALIASES.get(word, (word,)))
    return tuple(found)


_WORD = {"enum": [*PLACES, *_ALIASES]}
ON = kinds.simple(
    f"list of {', '.join((*PLACES, *_ALIASES))}",
    _places,
    {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]},
)


def _also(words: tuple[str, ...], **aliases: str) -> kinds.ValueType:
    """One of ``words``; each of ``aliases`` is another name of one."""
    listed = kinds.choice(*words)
    return kinds.simple(
        listed.name,
        lambda value: aliases[value] if value in aliases else listed.from_toml(value, {}),
        {"enum": [*words, *aliases]},
    )


@attrs.frozen
class Guardrail:
    """One guardrail: what all have. What only some types have stands with these."""

    name: str = option(kinds.string, "", "What log, metrics and refusals call it.")
    type: str = option(kinds.string, "", "What it looks for: pii, secrets, webhook …, or a plugin's.")
    on: tuple[str, ...] = option(
        ON,
        ASKED,
        "Where: request is what the user says in all turns, history what was answered before, system, tool_results, "
        "tool_calls, tools what is offered, response the answer. input and pre_call are all but the answer, post_call "
        "is the answer; during_call is input, while the vendor is at work already.",
    )
    action: str = option(
        kinds.choice("block", "mask", "pseudonymize", "route", "report"),
        "block",
        "What becomes of a find: the call is refused; it is [KIND]; it is <KIND_1>, and itself again in the answer; "
        "the call goes to another model; it is only told.",
    )
    mode: str = option(
        _also(("shadow", "enforce"), logging_only="shadow"), "shadow", "shadow only tells what enforce would do."
    )
    default_on: bool = option(
        kinds.boolean,
        True,
        "It holds for all calls; else for those of keys and teams that have it, or that ask for it.",
    )
    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models asked for that it is for.")
    keys: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the names of keys that it is for.")
    route: str = option(kinds.string, "", 'The model that action = "route" sends calls to.')
    on_failure: str = option(
        _also(("closed", "open"), fail_closed="closed", fail_open="open"),
        "closed",
        "When it cannot say: closed refuses the call with a 503, open lets it go and tells so.",
    )
    on_unreadable: str = option(
        kinds.choice("pass", "refuse"),
        "pass",
        "Pictures, sounds, files and uploads that it cannot read: they pass, and the record tells so, or are refused.",
    )
    timeout: float = option(kinds.seconds, 0.5, "Seconds that it may take.")
    stream: str = option(
        kinds.choice("live", "sentence", "hold", "after"),
        "",
        "Of streamed answers: live looks at them as they come, sentence holds each sentence, hold all of it, after only "
        "tells. Default: live where the type can, else hold.",
    )
    block: str = option(
        kinds.choice("refusal", "error"),
        "refusal",
        "A blocked answer is a refusal in the client's dialect, or an error.",
    )
    retry: bool = option(kinds.boolean, False, "A blocked answer is asked for once more.")
    samples: str = option(
        kinds.string, "", "File of labelled lines that llmedge guard test tries it on, before it is enforced."
    )

    @property
    def during(self) -> bool:
        """It judges while the vendor is at work."""
        return "during_call" in self.on
