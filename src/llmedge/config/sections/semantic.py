"""``[cache.semantic]``: answers to questions that mean the same."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sizes import SIZE


@attrs.frozen
class Semantic:
    """Answers to questions that mean the same. Served only where its own audit has shown that they would do."""

    mode: str = option(
        kinds.choice("off", "shadow", "strict", "verified"),
        "off",
        "shadow: look and compare, serve nothing; strict: serve what is asked in nearly the same words; verified: what "
        "the judge calls the same, too.",
    )
    models: tuple[str, ...] = option(kinds.strings, ("*",), "Patterns of the models asked for that it is for.")
    judge: str = option(
        kinds.string,
        "",
        "A chat model that says whether two questions, and two answers, say the same; verified needs one.",
    )
    judge_timeout: float = option(
        kinds.number(0.05, 60), 2.0, "Seconds that a call waits for the judge before its own model is asked."
    )
    embeddings: str = option(
        kinds.string, "", "An embeddings model; default: the one that comes with the extra semantic."
    )
    threshold: float = option(
        kinds.number(0.5, 1),
        0.75,
        "Cosine under which two questions are not compared any further. Alone it never has anything served.",
    )
    max_messages: int = option(
        kinds.integer(1, 9), 3, "Messages of a call, its instructions included; longer ones are left alone."
    )
    max_chars: int = option(kinds.integer(1, 8000), 2000, "Characters of the last message; longer ones are left alone.")
    max_entries: int = option(kinds.integer(1, 100_000), 10_000, "Questions of a partition that are remembered.")
    max_bytes: int = option(SIZE, 64 << 20, "Memory for all questions and their vectors; the answers are the cache's.")
    wrong: float = option(
        kinds.number(0.001, 0.2),
        0.01,
        "Share of wrong answers that is borne: it serves only while that is shown with 95 % confidence.",
    )
    audit: float = option(
        kinds.number(0.001, 1), 0.02, "Share of what could be served that the vendor is asked for all the same."
    )
