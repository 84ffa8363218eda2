"""Numbers that states give people: social security (``SSN``), identity and tax numbers (``ID``).

Those with a form of their own and a checksum are found anywhere; where form and checksum let every tenth or hundredth
other number pass, one of the words that people use for it has to stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from llmedge.guards import checksums as sums
from llmedge.guards.cuts import SPACE, WORD, stands_alone
from llmedge.guards.interfaces import Find

_S = f"[{SPACE}]"


class _Number(NamedTuple):
    """One country's.

    :ivar form: what it looks like from its first character on; separators are not in what is checked.
    :ivar words: one of them stands before it, in lower case; ``()``: anywhere.
    """

    kind: str
    form: re.Pattern[str]
    check: sums.Check
    words: tuple[str, ...] = ()


def _number(kind: str, form: str, check: sums.Check, *words: str) -> _Number:
    return _Number(kind, re.compile(form.replace("_", _S)), check, words)


def _any(text: str) -> bool:
    return True


def _many(text: str) -> bool:
    """Not one digit over and over."""
    return len(set(text)) > 2


def _bsn(digits: str) -> bool:
    return digits != "000000000" and sums.weighted((9, 8, 7, 6, 5, 4, 3, 2, -1), 11)(digits)


def _german_tax(digits: str) -> bool:
    """One digit stands there twice or three times, the others once or never."""
    counts = sorted(digits[:10].count(each) for each in set(digits[:10]))
    return counts[-1] in (2, 3) and counts[-2] == 1 and sums.iso_7064_mod_11_10(digits)


def _nie(text: str) -> bool:
    return _dni("XYZ".index(text[0]).__str__() + text[1:])


def _finnish(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10]


def _portuguese(digits: str) -> bool:
    rest = sum(int(digit) * weight for digit, weight in zip(digits, range(9, 1, -1), strict=False)) % 11
    return int(digits[8]) == (0 if rest < 2 else 11 - rest)


def _turkish(digits: str) -> bool:
    odd, even = sum(map(int, digits[0:9:2])), sum(map(int, digits[1:8:2]))
    return (odd * 7 - even) % 10 == int(digits[9]) and sum(map(int, digits[:10])) % 10 == int(digits[10])


_dni = sums.letter_of("TRWAGMYFPDXBNJZSQVHLCKE", 23)
_pesel = sums.dated(0, sums.weighted((1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10))
_luhn_dated = sums.dated(0, sums.luhn)
_cpf = sums.two_digits(range(10, 1, -1), range(11, 1, -1))
_norwegian_digits = (
    sums.weighted((3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0), 11),
    sums.weighted((5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1), 11),
)


def _norwegian(digits: str) -> bool:
    return all(check(digits) for check in _norwegian_digits)


_US_AREA = r"(?!000|666|9)[0-9]{3}"
_NUMBERS: tuple[_Number, ...] = (
    # Social Security Administration, ssa.gov/employer/randomization.html
    _number("SSN", rf"{_US_AREA}-(?!00)[0-9]{{2}}-(?!0000)[0-9]{{4}}", _many),
    _number(
        *("SSN", rf"{_US_AREA}_?(?!00)[0-9]{{2}}_?(?!0000)[0-9]{{4}}", _many),
        *("ssn", "social security", "soc sec", "social-security"),
    ),
    # gov.uk/hmrc-internal-manuals/national-insurance-manual/nim39110
    _number(
        *(
            "SSN",
            r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:_?[0-9]{2}){3}_?[A-D]",
            _any,
        ),
        *("national insurance", "nino", "ni number", "ni no", "n.i."),
    ),
    # France: NIR, insee.fr
    _number(
        *("SSN", r"[12]_?[0-9]{2}_?(?:0[1-9]|1[0-2]|[2-9][0-9])_?(?:[0-9]{2}|2[AB])_?[0-9]{3}_?[0-9]{3}_?[0-9]{2}"),
        sums.nir,
    ),
    # Switzerland: AHV/AVS, bsv.admin.ch
    _number("SSN", r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}", sums.ean_13),
    _number("SSN", r"756[0-9]{10}", sums.ean_13, "ahv", "avs", "sozialversicherung"),
    # Canada: SIN, canada.ca
    _number("SSN", r"[1-79][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}", sums.luhn, "sin", "social insurance"),
    # Germany: steuerliche Identifikationsnummer, bzst.de
    _number(
        *("ID", r"[1-9][0-9]_?[0-9]{3}_?[0-9]{3}_?[0-9]{3}", _german_tax),
        *("steuer", "identifikationsnummer", "idnr", "tax id", "tin"),
    ),
    # Netherlands: BSN, rvig.nl
    _number("ID", r"[0-9]{4}\.?[0-9]{2}\.?[0-9]{3}", _bsn, "bsn", "burgerservice", "sofinummer", "sofi-nummer"),
    # Belgium: rijksregisternummer
    _number("ID", r"[0-9]{2}\.[01][0-9]\.[0-3][0-9]-[0-9]{3}\.[0-9]{2}", sums.belgian),
    _number("ID", r"[0-9]{11}", sums.belgian, "rijksregister", "registre national", "niss", "insz"),
    # Spain: DNI and NIE, interior.gob.es
    _number("ID", r"[0-9]{8}[ -]?[A-HJ-NP-TV-Z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}[ -]?[A-HJ-NP-TV-Z]", _dni),
    _number("ID", r"[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]", _nie),
    # Portugal: NIF
    _number("ID", r"[1235689][0-9]{2}_?[0-9]{3}_?[0-9]{3}", _portuguese, "nif", "contribuinte", "número fiscal"),
    # Italy: codice fiscale
    _number("ID", r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]", sums.codice_fiscale),
    # Poland: PESEL, gov.pl
    _number("ID", r"[0-9]{11}", _pesel, "pesel"),
    # Sweden, Denmark (whose checksum is given up), Norway, Finland
    _number(
        "ID",
        r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}",
        lambda text: _luhn_dated(text[-10:]),
        "personnummer",
        "samordningsnummer",
    ),
    _number("ID", r"[0-3][0-9][01][0-9]{3}-?[0-9]{4}", sums.dated(0, _many, day_first=True), "cpr"),
    _number("ID", r"[0-9]{6}_?[0-9]{5}", _norwegian, "fødselsnummer", "fodselsnummer", "personnummer"),
    _number("ID", r"[0-3][0-9][01][0-9][0-9]{2}[-+A-F][0-9]{3}[0-9A-FHJ-NPR-Y]", _finnish),
    # Ireland: PPS number, revenue.ie
    _number("ID", r"[0-9]{7}[A-W][A-IW]?", sums.pps, "pps", "ppsn"),
    # Turkey
    _number("ID", r"[1-9][0-9]{10}", _turkish, "kimlik", "tckn", "t.c."),
    # Brazil: CPF, receita.fazenda.gov.br
    _number("ID", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf),
    _number("ID", r"[0-9]{11}", _cpf, "cpf"),
    # Chile: RUT
    _number("ID", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", sums.rut),
    _number("ID", r"[0-9]{7,8}-[0-9Kk]", sums.rut, "rut", "run"),
    # Mexico: CURP, gob.mx
    _number(
        *("ID", r"[A-Z][AEIOUX][A-Z]{2}[0-9]{2}[01][0-9][0-3][0-9][HM][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]", _any),
    ),
    # India: Aadhaar, uidai.gov.in
    _number("ID", r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", sums.verhoeff, "aadhaar", "aadhar", "uidai", "आधार"),
    # Australia: TFN, ato.gov.au
    _number(
        *("ID", r"[0-9]{3}_?[0-9]{3}_?[0-9]{3}", sums.weighted((1, 4, 3, 7, 5, 8, 6, 9, 10), 11)),
        *("tfn", "tax file"),
    ),
)
_OTHER = re.compile(
    r"\b(?:orders?|tickets?|cases?|invoices?|parts?|sku|ref|references?|tracking|serial|model|isbn)\b[^!?\n]{0,12}\Z",
    re.IGNORECASE,
)
_ANYWHERE = tuple(each for each in _NUMBERS if not each.words)
_WITH_WORDS = tuple(each for each in _NUMBERS if each.words)
_SEPARATORS = re.compile("[^0-9A-Za-z]")
_BEGINNINGS = re.compile(
    rf"[A-Z](?<![{WORD}].)(?:[A-Z]{{5}}[0-9]{{2}}[A-Z][0-9]{{2}}|[A-Z]{{3}}[0-9]{{6}}|(?<=[XYZ])-?[0-9]{{7}}|"
    rf"[A-Z](?:[{SPACE}]?[0-9]{{2}}){{2}})"
)


class Numbers:
    """Those that may be in a text, ``low`` in lower case: all are left out whose words it does not say."""

    def __init__(self, low: str) -> None:
        self._low = low
        self._with_words: tuple[_Number, ...] | None = None

    def at(self, text: str, start: int) -> Find | None:
        """The number that begins at ``start``."""
        if _ANY.match(text, start) and (found := _first(_ANYWHERE, text, start)):
            return found
        if self._with_words is None:
            self._with_words = tuple(each for each in _WITH_WORDS if any(word in self._low for word in each.words))
        return _first(self._with_words, text, start)


_ANY = re.compile("|".join(f"(?:{each.form.pattern})" for each in _ANYWHERE))


def begun_by_letters(text: str, start: int) -> Iterator[int]:
    """Where a number may begin whose first character is a letter."""
    return (found.start() for found in _BEGINNINGS.finditer(text, start))


def _first(numbers: tuple[_Number, ...], text: str, start: int) -> Find | None:
    for each in numbers:
        if not (found := each.form.match(text, start)):
            continue
        compact = _SEPARATORS.sub("", found[0]).upper()
        if not stands_alone(text, start, found.end()) or not each.check(_as_checked(each, found[0], compact)):
            continue
        before = text[max(0, start - 64) : start].lower().rpartition("\n")[2]
        if any(_word_in(word, before) for word in each.words) if each.words else not _OTHER.search(before):
            return Find(start, found.end(), each.kind)
    return None


def _as_checked(number: _Number, written: str, compact: str) -> str:
    return written if number.check is _finnish else compact


def _word_in(word: str, text: str) -> bool:
    """Short words are to stand alone: ``sin`` is no part of ``using``."""
    return word in text if len(word) > 4 else re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None
