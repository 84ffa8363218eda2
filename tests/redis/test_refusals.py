from twisted.trial.unittest import SynchronousTestCase

from llmedge.redis.refusals import Gone, Refusal


class Words(SynchronousTestCase):
    def test_nothing_of_a_command_is_repeated(self) -> None:
        """Servers repeat the command they do not understand, and with it the password."""
        for text in (
            "ERR unknown command 'AUTH', with args beginning with: 'canary'",
            "canary is not a command",
            "CANARY' is no code",
            "",
            "ÄRGER canary",
        ):
            refusal = Refusal(text)
            self.assertEqual(refusal.code, "ERR")
            self.assertNotIn("canary", (refusal.words() + str(refusal) + repr(refusal)).lower())

    def test_what_to_do(self) -> None:
        self.assertEqual(Refusal("NOAUTH Authentication required.").words(), "it wants a password (NOAUTH)")
        self.assertEqual(Refusal("ODD x").words("it has no database 9"), "it has no database 9 (ODD)")
        self.assertEqual(Gone("it closed the connection").words(), "it closed the connection")

    def test_whose_fault_it_is(self) -> None:
        self.assertTrue(Refusal("WRONGTYPE x").of_data)
        self.assertFalse(Refusal("MASTERDOWN x").of_data)
