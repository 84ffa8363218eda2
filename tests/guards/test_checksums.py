"""Checksums: a number that somebody gave out passes, and none that differs from it in a digit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import checksums

GOOD = (
    (checksums.luhn, "4111111111111111"),
    (checksums.mod_97, "DE89370400440532013000"),
    (checksums.iso_7064_mod_11_10, "86095742719"),
    (checksums.verhoeff, "491836274052"),
    (checksums.weighted((9, 8, 7, 6, 5, 4, 3, 2, -1), 11), "111222333"),
    (checksums.ean_13, "7569217076985"),
    (checksums.nir, "185057800608491"),
    (checksums.two_digits(range(10, 1, -1), range(11, 1, -1)), "52998224725"),
)


class Checksums(SynchronousTestCase):
    def test_one_digit(self) -> None:
        """They tell every single digit that is mistyped."""
        for check, number in GOOD:
            self.assertTrue(check(number), number)
            for at in range(2 if number[0] == "D" else 0, len(number)):
                for digit in "0123456789":
                    if digit != number[at]:
                        self.assertFalse(check(number[:at] + digit + number[at + 1 :]), (number, at, digit))

    def test_with_letters(self) -> None:
        dni = checksums.letter_of("TRWAGMYFPDXBNJZSQVHLCKE", 23)
        self.assertEqual((dni("12345678Z"), dni("12345678A"), dni("12345679Z")), (True, False, False))
        for check, good, bad in (
            (checksums.codice_fiscale, "RSSMRA85M01H501Q", "RSSMRA85M01H501R"),
            (checksums.rut, "123456785", "123456784"),
            (checksums.rut, "6K", "7K"),
            (checksums.pps, "1234567T", "1234567U"),
            (checksums.pps, "1234567FA", "1234567FB"),
            (checksums.belgian, "93051822361", "93051822362"),
            (checksums.belgian, "00012556777", "00012556778"),
            (checksums.nir, "185052A00608435", "185052A00608436"),
        ):
            self.assertEqual((check(good), check(bad)), (True, False), good)

    def test_days(self) -> None:
        """A day that is none passes with no checksum."""
        check = checksums.dated(0, lambda digits: True)
        self.assertEqual([check(each) for each in ("440514", "441314", "440532", "442514")], [True, False, False, True])
        self.assertTrue(checksums.dated(0, lambda digits: True, day_first=True)("311299"))
