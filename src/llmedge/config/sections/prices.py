"""``[prices.NAME]``: what tokens cost."""

from __future__ import annotations

from decimal import Decimal

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Price:
    """What a model costs you, in place of its list price. NAME is a target, ``"PROVIDER/MODEL"``, or a pattern of
    targets; a name goes before a pattern, the longest pattern first. All in USD per million tokens."""

    input: Decimal | None = option(kinds.price, None, "Tokens read. Has to be given.")
    output: Decimal | None = option(kinds.price, None, "Tokens written. Has to be given.")
    cached: Decimal | None = option(kinds.price, None, "Tokens read from the vendor's cache; default: as input.")
    cache_write: Decimal | None = option(kinds.price, None, "Tokens written to that cache; default: as input.")
    cache_write_1h: Decimal | None = option(
        kinds.price, None, "Tokens written to it for an hour; default: as cache_write."
    )
    audio_input: Decimal | None = option(kinds.price, None, "Tokens of audio read; default: as input.")
    audio_output: Decimal | None = option(kinds.price, None, "Tokens of audio written; default: as output.")
    reasoning: Decimal | None = option(kinds.price, None, "Tokens of reasoning; default: as output.")
