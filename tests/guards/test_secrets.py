"""What ``secrets`` finds, and what only looks like it. Keys are put together here: no scanner takes one for a key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.secrets import Secrets
from llmedge.guards.vendor_keys import FORMS
from llmedge.identity.secrets import new
from tests.guards.sentences import sentence

BODY = "9aXbQ2LmZkT8rW4vY6nP1sD3fG5hJ7kQ0tR2uV8xC4bN6mK1"
HEX = "0123456789abcdef" * 4


class Forms(SynchronousTestCase):
    def check(self, *marked: str) -> None:
        """Each text's marks are all that is found in it."""
        for each in marked:
            _, text, finds = sentence("", each.replace("·", ""))
            self.assertEqual(Secrets().find(text), finds, text)

    def test_vendors(self) -> None:
        """Each prefix, with what its vendor has behind it; in quotes, URLs, JSON; not as part of a word."""
        bodies = {
            "AKIA": HEX.upper()[10:16] + "QWERTY2345",
            "SG.": f"{BODY[:22]}.{BODY[:43]}",
            "AIza": BODY[:35],
            "npm_": BODY[:36],
            "key-": HEX[:32],
            "dapi": HEX[:32],
            "SK": HEX[:32],
            "LTAI": BODY[:16],
            "AGE-SECRET-KEY-1": (BODY.upper() + BODY.upper())[:58],
            "rubygems_": HEX[:48],
            "AQVN": BODY[:36],
            "eyJ": f"{BODY}.eyJ{BODY}.{BODY}",
            "discord.com/api/webhooks/": f"12345678901234567/{BODY}{BODY[:16]}",
            "hooks.slack.com/services/": f"T01234567/B01234567/{BODY[:24]}",
            "EAAAE": BODY + BODY[:10],
            "HRKU-": BODY,
            "ops_eyJ": BODY,
            "dp.pt.": BODY[:43],
            "pypi-AgE": BODY,
            **dict.fromkeys(("dop_v1_", "doo_v1_", "dor_v1_"), HEX),
            **dict.fromkeys(("shpat_", "shpca_", "shppa_", "shpss_"), HEX[:32]),
            **dict.fromkeys(("lsv2_pt_", "lsv2_sk_"), HEX[:32] + "_" + HEX[:10]),
            **dict.fromkeys(("ASIA", "ABIA", "ACCA"), HEX.upper()[10:16] + "QWERTY2345"),
            **dict.fromkeys(("dp.st.", "dp.ct."), BODY[:43]),
            "GOCSPX-": BODY[:28],
            "sq0atp-": BODY[:22],
            "sq0csp-": BODY[:43],
        }
        for form in FORMS:
            key = form.prefix + bodies.get(form.prefix, BODY[:40])
            for around in (
                "{}",
                "use {} now",
                "'{}'",
                '{{"a":"{}"}}',
                "https://x.example/?k={}&b",
                "\\n{}\\n",
                "密{}钥",
            ):
                text = around.format(key)
                found = [text[each.start : each.end] for each in Secrets().find(text)]
                self.assertEqual(found, [key], text)
            self.assertEqual(Secrets().find(f"an x{key}"), [], form.prefix)

    def test_long_tokens(self) -> None:
        """A token is found with what it has within 4,096 characters, with its signature or not."""
        for size, rest in ((100, 0), (3000, 0), (3900, 300)):
            token = f"ey{'J'}hbGciOiJIUzI1NiJ9.eyJ{(BODY * 100)[:size]}.{BODY * (6 if rest else 1)}"
            (found,) = Secrets().find(f"Bearer: {token} and")
            self.assertEqual((found.start, found.end > len(token) - rest), (8, True))
        unsigned = f"ey{'J'}hbGciOiJIUzI1NiJ9.eyJ{BODY}"
        self.check(f"⟦KEY|{unsigned}⟧", f"⟦KEY|{unsigned}⟧. And")

    def test_our_own(self) -> None:
        key = new()
        self.assertEqual([key], [key[each.start : each.end] for each in Secrets().find(key)])

    def test_names_are_none(self) -> None:
        self.check(
            "sk-learn-contrib-something-very-long, github_pat_description_of_a_token_in_a_document",
            "task-4f5a6b7c8d9e0f1a2b3c4d5e6f, hf_hub_download_with_many_arguments_and_more",
            "secret_santa_party_organisation_committee, key-value-store-implementation-notes",
            f"{HEX[:40]} {HEX} 550e8400-e29b-41d4-a716-446655440000 src/llmedge/guards/vendor_keys2.py",
            "eyJhbGciOiJIUzI1NiJ9 alone is a header",
        )

    def test_private_keys(self) -> None:
        """From the first line to the last; without that, what there is."""
        begin, end = (
            "-----BEGIN RSA PRI·VATE KEY-----".replace("·", ""),
            "-----END RSA PRI·VATE KEY-----".replace("·", ""),
        )
        lines = f"{BODY}\n{BODY}".replace("_", "")
        self.check(
            f"key: ⟦KEY|{begin}\n{lines}\n{end}⟧ bye",
            f"⟦KEY|{begin}\n{lines}⟧\nand so on",
            f"⟦KEY|{begin}\\n{BODY}\\n{end}⟧",
            f"⟦KEY|{begin}⟧ is how such a file begins",
            f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----",
        )
        for name in ("", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "):
            block = f"{begin}\n{lines}\n{end}".replace("RSA ", name)
            self.check(f"⟦KEY|{block}⟧")

    def test_assignments(self) -> None:
        """In the words and signs of programs, files and people; a stand-in is none."""
        self.check(
            'password=⟦KEY|hunter2⟧ PASSWORD: \'⟦KEY|hunter2!⟧\', "passwd": "⟦KEY|a,b;c9⟧"',
            "Das Passwort lautet ⟦KEY|Sommer2024⟧. La contraseña es ⟦KEY|Girasol9⟧, mot de passe : ⟦KEY|Cheval77⟧",
            "DB_PASSWORD => \"⟦KEY|pa55word⟧\" and config['password'] = '⟦KEY|pa55word⟧'",
            "Server=db;Password=⟦KEY|Xy7$pq1L⟧;Encrypt=yes and ?password=⟦KEY|abc123⟧&user=me",
            f"api_key: ⟦KEY|{BODY[:24]}⟧, AWS_SECRET_ACCESS_KEY=⟦KEY|{BODY[:20]}/{BODY[:19]}⟧",
            f"Authorization: Bearer ⟦KEY|{BODY[:30]}⟧ and Authorization: Basic ⟦KEY|dXNlcjpwYTU1d29yZA==⟧",
            '{\\"password\\": \\"⟦KEY|hunter2x⟧\\"}',
            "The password is required. password: string; password = get_password(); password=${PASSWORD}",
            "password=<your password>, password: ********, password=None, password is very good",
            "password: Optional[str] = None",
            "token: next(tokens2), secret = self.vault.secret2value, api_key=os.environ['KEY_2'], token_count: 12800",
            f"nextPageToken: {BODY[:20]}, max_tokens=4096, token=2024-11-30T10:00:00Z",
            "[token.ts:64](https://x.example/a1b2c3d4e5f6/b) badge.svg?token=yZL6LtXkOA)",
            "secret: file:/run/secrets/x1y2z3",
        )

    def test_urls(self) -> None:
        self.check(
            "postgres://app:⟦KEY|Zk7#pQ2v⟧@db.internal:5432/prod, redis://:⟦KEY|p4ss⟧@[2001:db8::1]/0",
            "https://user:⟦KEY|letters⟧@host.example/",
            "https://user:password@host, https://user:${PW}@host, https://user@host, http://host:80/a@b, mailto:a:b@c",
        )
