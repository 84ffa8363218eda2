"""Bank accounts and payment cards: what a checksum tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmedge.guards.checksums import luhn, mod_97
from llmedge.guards.cuts import SPACE, WORD, stands_alone
from llmedge.guards.interfaces import Find

_LISTED = (
    "15:NO 16:BE,BI 18:DK,FK,FI,FO,GL,NL,SD 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,MN,XK 21:CH,HR,LI,LV "
    "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA 23:AE,GI,IL,IQ,OM,SO,TL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG "
    "25:LY,PT,ST 26:IS,TR 27:BJ,BF,CF,CG,CI,CM,DJ,DZ,FR,GA,GQ,GR,GW,IT,KM,MA,MC,MG,ML,MR,NE,SM,SN,TD,TG "
    "28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV 29:BR,EG,PS,QA,UA 30:JO,KW,MU,YE 31:MT,SC 32:LC 33:RU"
)
_LENGTHS = {country: int(row[:2]) for row in _LISTED.split() for country in row[3:].split(",")}
"""Country → characters (SWIFT's IBAN registry, and what countries that are not in it use)."""
_SIX = re.compile("[0-9]{6}")
_MORE = re.compile(f"[{WORD}]")
_SPACES = re.compile(f"[{SPACE}]")
_NO_DIGITS = re.compile("[^0-9]")
_CHECKED = re.compile(rf"[0-9](?<=(?<![{WORD}])[A-Za-z]{{2}}[0-9])[0-9](?=[{SPACE}]?[0-9A-Za-z]{{4}})")
"""The two digits behind an IBAN's country: there are fewer digits than letters in a text to look at."""
_JOINED = re.compile(r"[0-9A-Za-z]{15,33}")
_GROUPS = re.compile(rf"[A-Z]{{2}}[0-9]{{2}}(?:[{SPACE}][0-9A-Z]{{4}}){{2,7}}(?:[{SPACE}][0-9A-Z]{{1,3}})?")


def ibans(text: str, start: int) -> Iterator[Find]:
    """IBANs in one piece, or in groups of four with a space between."""
    for checked in _CHECKED.finditer(text, start):
        begin = checked.start() - 2
        length = _LENGTHS.get(text[begin : begin + 2].upper())
        if length is None or begin < start:
            continue
        if (found := _JOINED.match(text, begin)) and len(found[0]) == length:
            end = found.end()
        elif found := _GROUPS.match(text, begin):
            end = found.start() + length + (length - 1) // 4
        else:
            continue
        number = _SPACES.sub("", text[begin:end]).upper()
        if not text[begin : begin + 2].isupper() and not _SIX.search(number):
            continue  # the gate knows no such: it would be found or not by what else is in the text
        if len(number) == length and not _MORE.match(text, end) and mod_97(number):
            yield Find(begin, end, "IBAN")


_BRANDS = re.compile(
    r"(?:4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)"
    r"[0-9]{12}|3[47][0-9]{13}|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}|3(?:0[0-5]|095|[689][0-9])[0-9]{10,11}|"
    r"35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}|220[0-4][0-9]{12}|(?:50|5[6-8]|6[0-9])[0-9]{10,17})\Z"
)
"""Ranges of issuers: Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay, Mir, Maestro
(en.wikipedia.org/wiki/Payment_card_number)."""
_SEP = rf"(?P<sep>[{SPACE}.-])"
_CARD = re.compile(
    rf"[0-9]{{12,19}}(?![0-9])|[0-9]{{4}}{_SEP}(?:[0-9]{{6}}(?P=sep)[0-9]{{4,5}}|[0-9]{{4}}(?P=sep)[0-9]{{4}}(?P=sep)"
    r"[0-9]{4}(?:(?P=sep)[0-9]{3}(?![0-9/]))?)(?![0-9])"
)
_WENT_ON = re.compile(rf"[0-9][{SPACE}-]\Z")
_GOES_ON = re.compile(rf"[{SPACE}-][0-9]{{1,6}}(?![0-9/])")
_SAID = re.compile(
    r"\b(?:maestro|card|karte|kreditkarte|carte|tarjeta|carta|cart[ãa]o|debit|credit|kaart|karta)\b", re.IGNORECASE
)
_WIDE = re.compile(r"50|5[6-8]|6(?!011|4[4-9]|5|2)")
"""Ranges of Maestro, wide enough for much else: a card is to be spoken of."""


def card(text: str, start: int) -> Find | None:
    """The card's number that begins at ``start``: of an issuer's range, with Luhn's checksum, grouped as cards are."""
    if not (found := _CARD.match(text, start)) or not stands_alone(text, start, end := found.end()):
        return None
    number = _NO_DIGITS.sub("", found[0])
    if not _BRANDS.match(number) or len(set(number)) < 2 or not luhn(number):
        return None
    before = text[max(0, start - 64) : start]
    longer = _GOES_ON.match(text, end) or _WENT_ON.search(before)
    if found["sep"] is not None and longer:
        return None
    if (len(number) < 14 or _WIDE.match(number)) and not _SAID.search(before):
        return None
    return Find(start, end, "CARD")
