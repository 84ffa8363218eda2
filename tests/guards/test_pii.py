"""What ``pii`` finds, and what only looks like it."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import pii
from llmedge.guards.cuts import resolved
from llmedge.guards.pii import KINDS, Pii, PiiSettings
from llmedge.guards.secrets import Secrets
from tests.guards.sentences import sentence, sentences


class Labelled(SynchronousTestCase):
    def test_figures(self) -> None:
        """Of some 330 sentences in five languages and as code: precision and recall as promised, and hardly a trap."""
        right = wrong = missed = flagged = traps = 0
        for each in sentences():
            found = set(resolved([*Pii().find(each.text), *Secrets().find(each.text)]))
            wanted = set(each.finds)
            right, wrong, missed = (
                right + len(found & wanted),
                wrong + len(found - wanted),
                missed + len(wanted - found),
            )
            traps += not wanted
            flagged += bool(found) and not wanted
        self.assertGreater(right / (right + wrong), 0.97)
        self.assertGreater(right / (right + missed), 0.97)
        self.assertGreater(traps, 100)
        self.assertLessEqual(flagged, 2)


class Forms(SynchronousTestCase):
    def check(self, *marked: str) -> None:
        """Each text's marks are all that is found in it."""
        for each in marked:
            _, text, finds = sentence("", each)
            self.assertEqual(Pii().find(text), finds, text)

    def test_emails(self) -> None:
        self.check(
            "⟦EMAIL|a@b.example⟧, ⟦EMAIL|x.y+z@sub.b.example⟧; <⟦EMAIL|o'neil@b.example⟧>",
            "https://site.example/unsubscribe?who=⟦EMAIL|anna@b.example⟧",
            "⟦EMAIL|用户@b.example⟧".replace("⟦EMAIL|用户@", "用户⟦EMAIL|a@"),
            "git clone git@github.com:owner/repo.git",
            "icon@2x.png and style@media.css",
            "npm i left-pad@1.3.0 @types/node@20 a@b c@d.e ..@x.example a..b@x.example",
            "postgres://app:s3cret@db.internal/prod",
            f"{'x' * 65}@b.example",
        )

    def test_cards(self) -> None:
        self.check(
            "⟦CARD|4111 1111 1111 1111⟧ 04/29 123",
            "⟦CARD|4111-1111-1111-1111⟧, ⟦CARD|378282246310005⟧, ⟦CARD|3782 822463 10005⟧",
            "⟦CARD|6759649826438453⟧".replace("⟦CARD|6759649826438453⟧", "Maestro card ⟦CARD|6759649826438453⟧"),
            "part 6759649826438453",
            "4111 1111 1111 1112, 4111111111111111.5, x4111111111111111, 4111111111111111-7, $4111111111111111",
            "9111 1111 1111 1111, 12 4111 1111 1111 1111, 0000 0000 0000 0000",
        )

    def test_ibans(self) -> None:
        self.check(
            "⟦IBAN|DE89370400440532013000⟧, ⟦IBAN|de89370400440532013000⟧, ⟦IBAN|GB82 WEST 1234 5698 7654 32⟧",
            "⟦IBAN|NO93 8601 1117 947⟧.",
            "DE88370400440532013000, XX89370400440532013000, DE8937040044053201300, xDE89370400440532013000",
        )

    def test_national_ids(self) -> None:
        """Forms with checksums; those of which every tenth number is one, where words tell what they are."""
        self.check(
            "⟦SSN|536-90-4399⟧ but not 000-12-3456, 666-12-3456, 900-12-3456, 536-00-4399, 536-90-0000, 536-90-43990",
            "SSN ⟦SSN|536904399⟧\nThe number 536904399",
            "case no. 536-90-4399",
            "NIR ⟦SSN|1 85 05 78 006 084 91⟧ or 1 85 05 78 006 084 92",
            "AHV ⟦SSN|756.9217.0769.85⟧ or 756.9217.0769.86",
            "SIN ⟦SSN|130 692 544⟧\n130 692 544",
            "BSN ⟦ID|111222333⟧\nusing 111222333",
            "DNI ⟦ID|12345678Z⟧ or 12345678A; NIE ⟦ID|X1234567L⟧",
            "⟦ID|93.05.18-223.61⟧ of Belgium, 93.05.18-223.62 of nobody",
            "PESEL: ⟦ID|44051401359⟧; PESEL 44051401358",
            "CPF ⟦ID|529.982.247-25⟧ or 529.982.247-26; cpf ⟦ID|52998224725⟧",
            "⟦ID|131052-308T⟧ of Finland, 131052-308U of nobody",
            "RUT ⟦ID|12.345.678-5⟧, 12.345.678-6",
            "personnummer ⟦ID|811228-9874⟧\n811228-9874",
            "TFN ⟦ID|123 456 782⟧",
            "PPS ⟦ID|1234567T⟧, PPS 1234567A",
            "kimlik no ⟦ID|10000000146⟧",
            "NIF ⟦ID|123 456 789⟧",
            "fødselsnummer ⟦ID|01010750160⟧",
            "CURP ⟦ID|BADD110313HCMLNS09⟧",
            "CPR ⟦ID|070761-4285⟧",
        )

    def test_machines(self) -> None:
        """An address, where it is no version: eight digits, or words, a port or a URL around it."""
        self.check(
            "⟦IP|192.0.2.10⟧ http://⟦IP|10.0.0.1⟧/ ⟦IP|10.1.2.3⟧:8080 ⟦IP|10.0.0.0⟧/8 from ⟦IP|8.8.8.8⟧",
            "version 192.0.2.10, v10.20.30.40, see section 4.10.20.30 of it, RFC 1.2.3.4",
            "1.2.3.4 256.1.1.100 1.2.3.4.5 192.0.2.10.5 192.0.2.1000 a.192.0.2.10",
            "127.0.0.1 0.0.0.0 255.255.255.0 239.255.255.250 are nobody's",
            "⟦IP|2001:db8::1⟧ ⟦IP|fe80::1ff:fe23:4567:890a⟧%eth0 ⟦IP|2001:db8:1:2:3:4:5:6⟧. [⟦IP|2001:db8::42⟧]:80",
            "12:34:56:78:90 a::b std::abc ::1 2001:db8:1 2001:db8::1::2 00:1a:2b:3c:4d:5e 2001:db8:12345::1",
        )

    def test_phones(self) -> None:
        self.check(
            "⟦PHONE|+49 30 901820⟧ ⟦PHONE|+1 (646) 555-0123⟧ ⟦PHONE|+33 (0)4 72 00 11 22⟧ ⟦PHONE|+14155550123⟧",
            "⟦PHONE|+1 415 555 0123⟧ 99 and ⟦PHONE|0049 30 901820⟧",
            "⟦PHONE|(415) 555-0123⟧ ⟦PHONE|415.555.0123⟧ ⟦PHONE|1-800-555-0199⟧ ⟦PHONE|06 12 34 56 78⟧",
            "call ⟦PHONE|5551234⟧; Tel.: ⟦PHONE|030 901820⟧; mi número es ⟦PHONE|912 345 678⟧",
            "Ruf ⟦PHONE|0171/2345678⟧ an",
            "order 415-555-0123, call about order 0123456789, text 1.234.567, call on 2024-11-30, dial 12.11.2024",
            "+35236450.6 +1 646 555 012, +999 123456789, x+4930901820, 5+4930901820",
            "555 1234, 0301234567, 1 234 567, 123456789, SN-0171-2345678, 0171-2345678-AB",
            "in 1000000 calls 1000000, call at 0.0000215, call 1000000,",
            "The recall of 1234567 cars. Call it a day. 1234567 of them.",
        )


class Gate(SynchronousTestCase):
    def test_plain_text_is_let_through(self) -> None:
        """Text without an @, without numbers of four digits, costs a look for those."""
        with (
            patch.object(pii.Pii, "_numbers", side_effect=AssertionError),
            patch.object(pii.addresses, "emails", side_effect=AssertionError),
        ):
            self.assertEqual(Pii().find("Chapter 12 of 345: the 7 dwarfs, at 10:30 (see p. 99). " * 50), [])

    def test_entities(self) -> None:
        """Only what is asked for is found; what is something else is not taken for it."""
        said = "a@b.example DE89 3704 0044 0532 0130 00"
        self.assertEqual([each.kind for each in Pii(["EMAIL"]).find(said)], ["EMAIL"])
        self.assertEqual(Pii(["PHONE", "CARD"]).find(said), [])
        self.assertEqual(
            list(pii.TYPE.problems(PiiSettings(entities=("EMAIL", "NAME")))),
            [("entities", f"are of {', '.join(KINDS)}; 'NAME' is none")],
        )


class Regions(SynchronousTestCase):
    def test_numbering_plans(self) -> None:
        """With regions, national numbers of theirs are found without a word before them."""
        detector = pii.TYPE.make(PiiSettings(regions=("ES", "FR")), None)
        said = "El 912 345 678, 01 42 68 53 00, y 912 345 67."
        self.assertEqual(
            [said[each.start : each.end] for each in detector.find(said)], ["912 345 678", "01 42 68 53 00"]
        )
        self.assertEqual(Pii().find("El 912 345 678."), [])

    def test_told(self) -> None:
        self.assertRaisesRegex(ValueError, "none: Spain", pii.TYPE.make, PiiSettings(regions=("Spain",)), None)
        with patch.dict("sys.modules", {"phonenumbers": None}):
            self.assertRaisesRegex(ValueError, r"llmedge\[phone\]", pii.TYPE.make, PiiSettings(regions=("DE",)), None)
