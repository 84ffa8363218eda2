from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.sealed import Seal
from llmedge.config.secret import Secret

OLD, NEW = Secret("an-old-secret-of-the-deployment"), Secret("a-new-secret-of-the-deployment")


class Sealed(SynchronousTestCase):
    @given(st.binary(max_size=200), st.binary(max_size=40))
    def test_there_and_back(self, value: bytes, name: bytes) -> None:
        sealed = Seal([OLD]).seal(value, name)
        self.assertEqual(Seal([OLD]).open(sealed, name), value)
        if len(value) > 3:
            self.assertNotIn(value, sealed)

    def test_equal_values_do_not_look_equal(self) -> None:
        seal = Seal([OLD])
        self.assertNotEqual(seal.seal(b"value", b"name")[16:], seal.seal(b"value", b"name")[16:])

    def test_while_the_secret_is_changed(self) -> None:
        """What either has sealed is opened; the new one seals."""
        both, old, new = Seal([NEW, OLD]), Seal([OLD]), Seal([NEW])
        self.assertEqual(both.open(old.seal(b"x", b"n"), b"n"), b"x")
        self.assertEqual(new.open(both.seal(b"x", b"n"), b"n"), b"x")
        self.assertRaises(ValueError, new.open, old.seal(b"x", b"n"), b"n")

    def test_whatever_is_changed_is_seen(self) -> None:
        """Any bit of it, its end, and where it is kept."""
        seal = Seal([OLD])
        sealed = seal.seal(b"some value", b"name")
        for place in range(len(sealed)):
            changed = bytearray(sealed)
            changed[place] ^= 1
            self.assertRaises(ValueError, seal.open, bytes(changed), b"name")
            self.assertRaises(ValueError, seal.open, sealed[:place], b"name")
        self.assertRaises(ValueError, seal.open, sealed, b"another")

    def test_a_name_says_nothing_of_the_key(self) -> None:
        """To nobody who has not the secret; while that is changed there are two."""
        old, both = Seal([OLD]).names(b"key"), Seal([NEW, OLD]).names(b"key")
        self.assertEqual(both, [*Seal([NEW]).names(b"key"), *old])
        self.assertEqual(old, Seal([OLD]).names(b"key"))
        self.assertEqual(len({*both, *Seal([NEW, OLD]).names(b"other")}), 4)
