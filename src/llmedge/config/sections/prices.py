"""``[prices.NAME]``: what tokens cost, and what else is paid by."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Price:
    """What a model costs you, in place of its list price and of what its vendor says. NAME is a target,
    ``"PROVIDER/MODEL"``, or a pattern of targets; a name goes before a pattern, the longest pattern first. Tokens are
    in USD per million. What is used and has no price makes the price of the call unknown."""

    input: Decimal | None = option(kinds.price, None, "Tokens read. Has to be given where tokens are paid for.")
    output: Decimal | None = option(kinds.price, None, "Tokens written. Has to be given where tokens are paid for.")
    cached: Decimal | None = option(kinds.price, None, "Tokens read from the vendor's cache; default: as input.")
    cache_write: Decimal | None = option(kinds.price, None, "Tokens written to that cache; default: as input.")
    cache_write_1h: Decimal | None = option(
        kinds.price, None, "Tokens written to it for an hour; default: as cache_write."
    )
    audio_input: Decimal | None = option(kinds.price, None, "Tokens of audio read; default: as input.")
    audio_output: Decimal | None = option(kinds.price, None, "Tokens of audio written; default: as output.")
    image_input: Decimal | None = option(kinds.price, None, "Tokens of images read; default: as input.")
    image_output: Decimal | None = option(kinds.price, None, "Tokens of images made; default: as output.")
    reasoning: Decimal | None = option(kinds.price, None, "Tokens of reasoning; default: as output.")
    characters: Decimal | None = option(kinds.price, None, "Characters of a text to be spoken, a million of them.")
    audio_minute: Decimal | None = option(kinds.usd, None, "A minute of sound that is read, by the second.")
    image: Decimal | None = option(kinds.usd, None, "A picture that is made.")
    request: Decimal | None = option(kinds.usd, None, "A request, whatever it uses besides.")
    tiers: Mapping[str, Decimal] = option(
        kinds.factors,
        attrs.Factory(dict),
        "By how much a service tier multiplies all of these, such as {flex = 0.5}; of another tier nothing is known.",
    )
    price_as: str = option(
        kinds.string,
        "",
        'The price of another one instead: "PROVIDER/MODEL", or of a vendor\'s list, such as "openai/gpt-4o"; with'
        ' "openai/*" of the model of the same name.',
    )
