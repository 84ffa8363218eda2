"""Telephone numbers: international ones by their form, national ones by a form that nothing else has, or by the words
before them. There is no checksum: the extra ``phone`` knows the numbering plans."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

from llmedge.guards.cuts import SPACE, WORD, begins, ends, stands_alone
from llmedge.guards.interfaces import Find

_LISTED = (
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 "
    "84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 "
    "235 236 237 238 239 240 241 242 243 244 245 246 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 "
    "264 265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 "
    "376 377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 "
    "593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 "
    "692 800 850 852 853 855 856 870 880 886 888 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 "
    "977 979 992 993 994 995 996 998 "
)
_CODES = frozenset(_LISTED.split())
"""Country codes (ITU-T E.164, list of assigned codes)."""
_SIZES = {
    "1": (11, 11),
    "33": (11, 11),
    "34": (11, 11),
    "31": (11, 11),
    "41": (11, 11),
    "32": (10, 11),
    "48": (11, 11),
    "45": (10, 10),
    "47": (10, 10),
    "44": (11, 12),
    "61": (11, 11),
    "91": (12, 12),
    "86": (12, 13),
    "55": (12, 13),
    "39": (8, 13),
    "49": (8, 14),
    "43": (8, 14),
    "52": (12, 13),
    "351": (12, 12),
    "353": (10, 12),
    "420": (12, 12),
}
"""Digits with the code, least and most, where a country's differ little; else 8 to 15 (E.164)."""
_BODY = re.compile(
    rf"[0-9]{{1,14}}(?:(?:\)[{SPACE}./-]?|[{SPACE}./-]\(?|\(|[{SPACE}][/\u2013-][{SPACE}])[0-9]{{1,12}}){{0,7}}"
)
_WITHIN = re.compile(rf"[{WORD}+]")
_NO_DIGITS = re.compile("[^0-9]")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]{1,3}\Z")
_AMOUNT = re.compile(rf"[{SPACE}]?[%€$£]|,[0-9]")
_LAST = re.compile(rf"[{SPACE}./()\u2013-]+[0-9]+\Z")
LONGEST = 40

_NORTH_AMERICAN = re.compile(
    rf"(?:1[{SPACE}.-])?(?:[2-9][0-9]{{2}}([.-])|\(?[2-9][0-9]{{2}}\)[{SPACE}-]?)[2-9][0-9]{{2}}(?(1)\1|[{SPACE}.-])[0-9]{{4}}"
)
_FRENCH = re.compile(rf"0[1-9]([{SPACE}.-])[0-9]{{2}}(?:\1[0-9]{{2}}){{3}}")
_SPACED = re.compile(
    rf"0(?:7[0-9]{{3}}[{SPACE}][0-9]{{6}}|2[0-9][{SPACE}][0-9]{{4}}[{SPACE}][0-9]{{4}}|1[0-9]{{2}}[{SPACE}]"
    rf"[0-9]{{3}}[{SPACE}][0-9]{{4}}|1[0-9]{{3}}[{SPACE}][0-9]{{6}}|1(?:5[0-9]{{1,2}}|6[023]|7[0-9])[{SPACE}/-][0-9]{{7,8}})(?![0-9])"
)
"""British ones, and German ones of mobile phones."""

_ELSEWHERE = re.compile(r"[!?;\n]|\.\s+\w+\s|[0-9]{7}")
"""Between a word and a number: another sentence, or another number."""
_MY = re.compile(
    r"\b(?:my|his|her|our|your|their|mon|ton|son|votre|notre|leur|mein\w*|sein\w*|ihre?|unsere?|deine?|mi|tu|su|nuestro"
    r"|mio|suo|tuo|nostro|meu|seu|mijn|zijn|haar|'s)\s(?:\w+\s)?\Z",
    re.IGNORECASE,
)
_CALLS = re.compile(
    r"\b(?:tel|tél|(?:tel|tél)(?:ef|ép|ep|éf)\w*|phones?|mobiles?|mobil\w*|m[óo]vil\w*|cells?|cellphone|cellulare|"
    r"celular|cel|handy\w*|fax\w*|hotline|festnetz\w*|landline|durchwahl|portable|whatsapp|sms|call|called|calling|ring|"
    r"dial|text|reach|contact|kontakt|contacto|contatto|contactez|ruf|rufen|anruf\w*|rückruf\w*|zurückruf\w*|erreich\w*|"
    r"appel\w*|rappel\w*|joindre|joignable|llam\w*|llám\w*|marque|chiam\w*|richiam\w*|ligue|bel|bellen|mobiel|"
    r"komórka|zadzwoń|voicemail|pager|switchboard|helpdesk|reception|number|nummer|numéro|número|numero)\b",
    re.IGNORECASE,
)
"""Words that a telephone number stands behind; a number only if it is somebody's, or no other number is spoken of."""
_STEMMED = (
    "tel tél phone mobil móvil movil cel handy fax hotline landline festnetz durchwahl portable whatsapp sms call "
    "ring dial text reach contact kontakt contatto ruf anruf rückruf zurückruf erreich appel rappel joi llam llám "
    "marque chiam richiam ligue bel mobiel komórka zadzwoń voicemail pager switchboard helpdesk reception number "
    "nummer numéro número numero"
)
_STEMS = tuple(_STEMMED.split())
_NUMBER_IS = re.compile(r"(?:\s(?:is|ist|lautet|est|es|è|é)|:)\s?\Z", re.IGNORECASE)
_OTHER = re.compile(
    r"\b(?:orders?|invoices?|tickets?|cases?|ref|refs|references?|tracking|serial|parts?|sku|articles?|models?|ids?|"
    r"accounts?|contracts?|customers?|isbn|ean|version|policy|claim|bestell\w*|rechnung\w*|kunden\w*|vertrag\w*|"
    r"artikel\w*|auftrag\w*|akten\w*|serien\w*|steuer\w*|konto\w*|zähler\w*|sendung\w*|commande|facture|dossier|siret|"
    r"siren|réf|compte|colis|pedido|factura|expediente|referencia|cuenta|póliza|ordine|fattura|articolo|pratica|"
    r"partita|iva|conto|code|código|codice|zip|plz|cap|population|function|times|steps|rows|bytes|tokens|"
    r"pid|port|timestamp|unix)\b",
    re.IGNORECASE,
)
"""Words that other numbers stand behind."""
_NO_PHONE = re.compile(
    r"(?:[0-9]{4}([-./])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-./])[0-9]{1,2}\2(?:19|20)?[0-9]{2})(?![0-9])|"
    rf"(?:[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+|[1-9][0-9]?(?:[{SPACE}][0-9]{{3}})+|(?:0|[1-9][0-9]*)\.[0-9]+|[1-9]0{{4,}})\Z"
)
"""A date, thousands, a fraction, a round number."""

Plans = Callable[[str], bool]
"""Whether numbering plans have a number, written nationally."""


class Words:
    """Words about telephones in ``text``, whose lower case is ``low``; looked for when the first number asks."""

    def __init__(self, text: str, low: str, start: int) -> None:
        self._text, self._low, self._start = text, low, max(0, start - _BEFORE)
        self._found: list[tuple[int, int]] | None = None

    def last(self, before: int) -> tuple[int, int]:
        """Where the last one before a place begins and ends; (-1, -1): there is none near it."""
        if self._found is None:
            self._found = sorted(self._all())
        at = bisect_right(self._found, (before, before)) - 1
        begin, end = self._found[at] if at >= 0 else (-1, -1)
        return (begin, end) if before - begin <= _BEFORE and end <= before else (-1, -1)

    def _all(self) -> Iterator[tuple[int, int]]:
        for stem in _STEMS:
            at = self._low.find(stem, self._start)
            while at >= 0:
                if found := _CALLS.match(self._text, at):
                    yield at, found.end()
                at = self._low.find(stem, at + 1)


_BEFORE = 64
"""Characters before a number in which words are looked for."""
_NEAR = 40
"""Characters between such a word and the number, at most."""


def phone(text: str, start: int, words: Words, plans: Plans | None = None) -> Find | None:
    """The number whose first digit is at ``start``."""
    before = text[start - 1 : start]
    if before == "+":
        return _international(text, start - 1, start)
    if before == "(" and text[start - 2 : start - 1] == "+":
        return _international(text, start - 2, start)
    opened = start - 1 if before == "(" else start
    if text.startswith("00", start) and begins(text, start) and (found := _international(text, start, start + 2)):
        return found
    form = _FRENCH if text[start] == "0" and text[start + 2 : start + 3] in _BETWEEN else _SPACED
    match = (form if text[start] == "0" else _NORTH_AMERICAN).match(text, opened)
    if match and stands_alone(text, opened, match.end()) and _distance(text, opened, words) != _OF_ANOTHER:
        return Find(opened, match.end(), "PHONE")
    if before in _GROUPED and text[start - 2 : start - 1].isdigit():
        return None  # a later group of a number
    return _national(text, opened, start, words, plans)


_BETWEEN = frozenset(SPACE + ".-")
_GROUPED = frozenset(SPACE + ".-/")
_OF_NOTHING, _OF_ANOTHER = -1, -2


def _distance(text: str, start: int, words: Words) -> int:
    """How many characters lie between ``start`` and the word before it that says a telephone number comes; or that
    there is none, or that it says another number does."""
    begin, end = words.last(start)
    before = text[max(0, start - _BEFORE) : start]
    if end < 0 or start - end > _NEAR:
        return _OF_ANOTHER if _OTHER.search(before[-24:]) else _OF_NOTHING
    between = text[end:start]
    if _OTHER.search(between):
        return _OF_ANOTHER
    if _ELSEWHERE.search(between):
        return _OF_NOTHING
    if text[begin : begin + 3].lower() == "num" or text[begin : begin + 3].lower() == "núm":
        known = text[max(0, begin - 24) : begin]
        if _OTHER.search(known):
            return _OF_ANOTHER
        if not _MY.search(known) and not (text[start] in "0(" and _NUMBER_IS.match(between)):
            return _OF_NOTHING
    return len(between)


def _international(text: str, start: int, digits_at: int) -> Find | None:
    if not (found := _BODY.match(text, digits_at)):
        return None
    if _WITHIN.match(text[start - 1 : start]) or text[digits_at] == "0":
        return None
    number = found[0]
    while True:
        digits = _NO_DIGITS.sub("", number.replace("(0)", ""))
        code = next((digits[:size] for size in (1, 2, 3) if digits[:size] in _CODES), "")
        least, most = _SIZES.get(code, (8, 15))
        if len(digits) <= most or not (last := _LAST.search(number)):
            break
        number = number[: last.start()]
    end = digits_at + len(number)
    enough = least if len(number) > len(digits) else max(least, 10)
    if _DECIMAL.match(number) or not code or not enough <= len(digits) <= most or not ends(text, end):
        return None
    return Find(start, end, "PHONE")


def _national(text: str, opened: int, start: int, words: Words, plans: Plans | None) -> Find | None:
    """A number that words before it, or a numbering plan, say is one."""
    _, end = words.last(opened)
    if plans is None and (end < 0 or opened - end > _NEAR):
        return None
    if not (found := _BODY.match(text, start)):
        return None
    number = found[0]
    while sum(map(str.isdigit, number)) > 13 and (last := _LAST.search(number)):
        number = number[: last.start()]
    end = start + len(number)
    digits = sum(map(str.isdigit, number))
    if not 7 <= digits <= 13 or not stands_alone(text, opened, end):
        return None
    if _NO_PHONE.match(number) or _AMOUNT.match(text, end):
        return None
    plain = number[0] != "0" and digits == len(number) < 9
    if 0 <= _distance(text, opened, words) <= (4 if plain else _NEAR) or (plans is not None and plans(number)):
        return Find(opened, end, "PHONE")
    return None
