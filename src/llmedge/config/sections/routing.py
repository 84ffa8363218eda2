"""``[routing]``: what is done when a target fails, is slow or busy."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.operations import UNNAMED


@attrs.frozen
class Routing:
    """What is done when a target fails, is slow or has enough to do. Models may say otherwise for themselves."""

    retries: int = option(kinds.integer(0, 10), 2, "Times one target may be asked again, at most.")
    retry_base: float = option(
        kinds.number(0.001, 60), 0.25, "Seconds: a first retry comes after anything up to this, each next after twice."
    )
    retry_cap: float = option(kinds.number(0.001, 600), 5.0, "Seconds: the longest pause before a retry.")
    retry_ratio: float = option(
        kinds.number(0, 10), 0.6, "Retries in vain for each call of the last ten seconds, at most."
    )
    retry_after_max: float = option(
        kinds.number(0, 600), 5.0, "Seconds of a Retry-After that are waited for where nobody else is left."
    )
    retry_before_fallback: float = option(
        kinds.number(0, 60), 2.0, "Seconds of a vendor's Retry-After that are waited for before a fallback is asked."
    )
    fallback_on: tuple[int, ...] = option(
        kinds.statuses, (), "Statuses of a vendor's refusals after which the next target is asked, such as [400, 422]."
    )
    default_models: Mapping[str, str] = option(
        kinds.named_texts(*UNNAMED),
        attrs.Factory(dict),
        'Models of calls that name none, such as {images = "openai/gpt-image-1", responses = "gpt-5"}.',
    )
    hedge: str | float = option(
        kinds.hedge, "tail", 'Ask the next target as well when one is slow: "tail" is slower than it ever is.'
    )
    hedge_ratio: float = option(kinds.number(0, 1), 0.05, "Such extra calls for each call, at most.")
    breaker_failures: int = option(
        kinds.integer(1), 5, "Failures in a row that have a target left alone, where few calls fail else."
    )
    breaker_rate: float = option(
        kinds.number(0.01, 2), 0.5, "Share of failures in ten seconds with the same effect; above 1: none has."
    )
    breaker_open: float = option(
        kinds.number(0.01, 600), 1.0, "Seconds a target is left alone at first, doubled each time."
    )
    breaker_max_open: float = option(kinds.number(0.01, 3600), 1.0, "Seconds it is left alone at most.")
    adaptive: bool = option(
        kinds.boolean,
        True,
        "Learn how many calls at once and a second each target takes, from its refusals and its pace.",
    )
    queue: int = option(kinds.integer(0), 100, "Calls that may wait for one target.")
    queue_wait: float = option(kinds.number(0, 600), 5.0, "Seconds a call may wait for a target.")
    health_check: float = option(
        kinds.number(0, 3600), 0.0, "Seconds between looks at targets left alone; 0: calls find out themselves."
    )
