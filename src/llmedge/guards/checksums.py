"""Checksums of numbers: whether a text of digits (and letters) is one that somebody gave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Check = Callable[[str], bool]
"""Digits and capitals, without what separates them → whether they fit."""


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: payment cards, and others."""
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(_DOUBLED[int(each)] for each in digits[-2::-2])) % 10 == 0


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mod_97(text: str) -> bool:
    """ISO 7064 MOD 97-10, as ISO 13616 has it for IBANs: the first four characters belong to the end."""
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def weighted(weights: Sequence[int], modulus: int) -> Check:
    """Digits times ``weights`` add up to a multiple of ``modulus``."""
    return lambda digits: sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % modulus == 0


def iso_7064_mod_11_10(digits: str) -> bool:
    """The hybrid system of ISO 7064: German tax numbers (bzst.de, "Aufbau der Identifikationsnummer")."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


_DIHEDRAL = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_PERMUTED = (
    *("0123456789", "1576283094", "5803796142", "8916043527"),
    *("9453126870", "4286573901", "2793806415", "7046913258"),
)


def verhoeff(digits: str) -> bool:
    """J. Verhoeff, Error Detecting Decimal Codes (1969): Aadhaar."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_DIHEDRAL[check][int(_PERMUTED[place % 8][int(digit)])])
    return check == 0


def two_digits(weights: Sequence[int], then: Sequence[int]) -> Check:
    """Two check digits at the end, each 11 less the weighted sum's rest by 11, or 0 where that is over 9."""

    def check(digits: str) -> bool:
        for given, factors in ((digits[-2], weights), (digits[-1], then)):
            rest = sum(int(digit) * factor for digit, factor in zip(digits, factors, strict=False)) % 11
            if int(given) != (0 if rest < 2 else 11 - rest):
                return False
        return len(set(digits)) > 1

    return check


def letter_of(letters: str, modulus: int) -> Check:
    """A letter at the end tells the rest of the digits before it by ``modulus``."""
    return lambda text: letters[int(text[:-1]) % modulus] == text[-1]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17),
            *(19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)


def codice_fiscale(text: str) -> bool:
    """Decreto ministeriale 23/12/1976: characters at odd places count by a table, others as what they are."""
    even = (int(each) if each.isdigit() else ord(each) - 65 for each in text[1:15:2])
    return chr(65 + (sum(_ODD[each] for each in text[0:15:2]) + sum(even)) % 26) == text[15]


def nir(text: str) -> bool:
    """France: the key is 97 less the rest by 97; Corsica's 2A and 2B count as 19 and 18."""
    return 97 - int(text[:13].replace("2A", "19").replace("2B", "18")) % 97 == int(text[13:])


def ean_13(digits: str) -> bool:
    """GS1 General Specifications, 7.9: Swiss AHV numbers."""
    return weighted((1, 3) * 6 + (1,), 10)(digits)


def belgian(digits: str) -> bool:
    """Rijksregisternummer: 97 less the rest by 97; of those born since 2000 with a 2 in front."""
    return any(97 - int(century + digits[:9]) % 97 == int(digits[9:]) for century in ("", "2"))


def rut(text: str) -> bool:
    """Chile: modulo 11, with K for ten."""
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(text[:-1])))
    return "0123456789K0"[11 - total % 11] == text[-1].upper()


def pps(text: str) -> bool:
    """Ireland: modulo 23 with a second letter that counts nine times."""
    total = sum(int(digit) * weight for digit, weight in zip(text[:7], range(8, 1, -1), strict=True))
    total += (ord(text[8]) - 64) * 9 if len(text) == 9 and text[8] != "W" else 0
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == text[7]


def dated(first: int, check: Check, day_first: bool = False) -> Check:
    """``check``, and a day: year, month, day of two digits each from ``first``; with ``day_first`` day, month, year."""

    def checked(text: str) -> bool:
        one, month, three = (int(text[first + each : first + each + 2]) for each in (0, 2, 4))
        day = one if day_first else three
        return 1 <= day <= 31 and 1 <= month % 20 <= 12 and check(text)

    return checked
