"""The type ``pii``: e-mail addresses, telephone numbers, IBANs, cards, national ids, addresses of machines.

A gate sends on what may have any: most texts have no ``@`` and no four digits close to each other, and cost what the
gate costs. What is found is decided place by place, from the characters around it (:mod:`llmedge.guards.cuts`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards import accounts, addresses, national_ids, phones
from llmedge.guards.cuts import CONTEXT, SPACE, lower, resolved, unfinished
from llmedge.guards.interfaces import Find, GuardDeps, GuardType

KINDS = ("EMAIL", "PHONE", "IBAN", "CARD", "SSN", "ID", "IP")

_CLASSES = bytes(
    48 if chr(each) in "0123456789" else 65 if chr(each) in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" else 46 for each in range(256)
)
_SEPARATORS = " ./()-\u00a0\u202f\u2013".encode()
_PLACES = re.compile(rf"[0-9](?<![0-9]{{2}})(?=(?:[{SPACE}./()\u2013-]{{0,3}}[0-9]){{3}})")
"""Where numbers of at least four digits begin, each group of theirs a place of its own. What begins with the digit and
not with what is before it is searched for many times faster."""
_DOTTED = re.compile(r"\.(?<=[0-9]\.)[0-9]")
"""Of an IPv4 address, the one number that may have fewer than six digits."""
_GROUPS = re.compile(":(?:[0-9A-Fa-f]{1,4}:){3}")
"""Of an IPv6 address that is written out."""
_SIX = re.compile(rf"[0-9](?:[{SPACE}./()\u2013-]{{0,3}}[0-9]){{5}}")


@attrs.frozen
class PiiSettings(Guardrail):
    """``type = "pii"``."""

    entities: tuple[str, ...] = option(
        kinds.strings,
        KINDS,
        f"What to look for, of {', '.join(KINDS)}. Names of people and where they live are not found.",
    )
    regions: tuple[str, ...] = option(
        kinds.strings,
        (),
        "Countries, such as DE, whose national telephone numbers are found without a word before them. Needs the extra "
        "phone.",
    )


class Pii:
    """Finds what is of ``entities``.

    :ivar kinds: of finds.
    """

    reach = addresses.LONGEST_EMAIL + 1
    context = CONTEXT

    def __init__(self, entities: Sequence[str] = KINDS, plans: phones.Plans | None = None) -> None:
        self.kinds = frozenset(entities)
        self._plans = plans

    def quiet(self, text: str) -> bool:
        return not ("@" in text or _has_numbers(text) or _has_groups(text))

    def find(self, text: str, start: int = 0) -> list[Find]:
        found: list[Find] = []
        if "@" in text:
            found += addresses.emails(text, start)
        if _has_numbers(text):
            found += accounts.ibans(text, start)
            found += self._numbers(text, start)
        if _has_groups(text):
            found += addresses.ipv6(text, start)
        return [each for each in resolved(found) if each.kind in self.kinds]

    def growing(self, text: str) -> int:
        return unfinished(text, self.reach)

    def _numbers(self, text: str, start: int) -> list[Find]:
        found: list[Find | None] = []
        low = lower(text)
        ids, words = national_ids.Numbers(low), phones.Words(text, low, start)
        for place in _PLACES.finditer(text, start):
            at = place.start()
            found.append(addresses.ipv4(text, at))
            if _SIX.match(text, at):
                found.append(accounts.card(text, at) or ids.at(text, at))
                found.append(phones.phone(text, at, words, self._plans))
        found += [ids.at(text, at) for at in national_ids.begun_by_letters(text, start)]
        return [each for each in found if each is not None and each.start >= start]


def _has_numbers(text: str) -> bool:
    """Whether there may be a number of any kind: a year is none."""
    classes = text.encode("utf-8", "replace").translate(_CLASSES, _SEPARATORS)
    if b"AA00" in classes:
        return True
    return b"0000" in classes and (b"000000" in classes or _DOTTED.search(text) is not None)


def _has_groups(text: str) -> bool:
    """Whether there may be an IPv6 address."""
    return ":" in text and ("::" in text or _GROUPS.search(text) is not None)


def _plans(regions: Sequence[str]) -> phones.Plans:
    """Whether a number is valid in one of ``regions``.

    :raises ValueError: the extra is not installed, or a region is none.
    """
    try:
        import phonenumbers
    except ImportError:
        raise ValueError("has regions, which need the package phonenumbers: pip install 'llmedge[phone]'") from None
    if unknown := [each for each in regions if each not in phonenumbers.SUPPORTED_REGIONS]:
        raise ValueError(f"has regions that are none: {', '.join(unknown)}; they are of two letters, such as DE")

    def valid(number: str) -> bool:
        for region in regions:
            try:
                if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                    return True
            except phonenumbers.NumberParseException:
                continue
        return False

    return valid


class PiiType(GuardType):
    name = "pii"
    detects = True
    settings = PiiSettings

    def problems(self, settings: PiiSettings) -> Sequence[tuple[str, str]]:
        unknown = [each for each in settings.entities if each not in KINDS]
        return [("entities", f"are of {', '.join(KINDS)}; {each!r} is none") for each in unknown]

    def make(self, settings: PiiSettings, deps: GuardDeps) -> Pii:
        return Pii(settings.entities, _plans(settings.regions) if settings.regions else None)


TYPE: Any = PiiType()
