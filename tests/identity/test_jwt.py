"""What makes a token good, and all that makes it none."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc.jwk import ECKey, OctKey, OKPKey
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import AuthError
from llmedge.identity.jwt import KeySet, Token
from llmedge.identity.refusals import KeyExpired
from tests.identity.issuer import AUDIENCE, KEYS, NOW, OTHER, URL, published, settings, sign, symmetric


def encode(part: Any) -> bytes:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def check(token: bytes, keys: Any = None, now: float = NOW, **more: Any) -> Any:
    """The claims of ``token``, as the settings ``more`` have it."""
    of = settings(**more)
    presented = Token(token)
    key = KeySet(keys or published()).find(presented.kid, presented.algorithm(of.algorithms))
    if key is None:
        raise AuthError("no key")
    return presented.check(of, key, now)


class Tokens(SynchronousTestCase):
    def refused(self, token: bytes, why: str = "", **more: Any) -> None:
        error = self.assertRaises(AuthError, check, token, **more)
        self.assertIn(why, error.message)
        self.assertNotIn("anna", error.message)

    def test_each_algorithm(self) -> None:
        """And what is in the token; headers that are not known are ignored (RFC 7515 section 4)."""
        for algorithm in KEYS:
            claims = check(sign(algorithm, header={"x-own": 1, "typ": "JWT"}, groups=["a"]))
            self.assertEqual((claims["sub"], claims["groups"]), ("anna", ["a"]))
        self.assertEqual(check(sign("PS256", KEYS["RS256"]), algorithms=("PS256",))["sub"], "anna")
        self.assertEqual(check(sign("Ed25519", KEYS["EdDSA"]), algorithms=("Ed25519",))["sub"], "anna")

    def test_algorithm_confusion(self) -> None:
        """A public key is no secret: in whatever form it is used as one, the token is none."""
        public = KEYS["RS256"].public_key
        raw = public.public_bytes
        pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        for form in (
            raw(pem, spki),
            raw(pem, spki).strip(),
            raw(der, spki),
            raw(pem, serialization.PublicFormat.PKCS1),
            json.dumps(published()["keys"][0]).encode(),
        ):
            for algorithm in ("HS256", "HS384", "HS512"):
                for kid in ("rsa", None):
                    token = self.forged(algorithm, form, kid)
                    self.refused(token, "algorithm")

    def forged(self, algorithm: str, secret: bytes, kid: str | None) -> bytes:
        head = {"alg": algorithm} | ({"kid": kid} if kid else {})
        signed = encode(head) + b"." + encode({"iss": URL, "aud": AUDIENCE, "sub": "anna", "exp": NOW + 60})
        of = {"HS256": hashes.SHA256, "HS384": hashes.SHA384, "HS512": hashes.SHA512}[algorithm]
        mac = hmac.HMAC(secret, of())
        mac.update(signed)
        return signed + b"." + encode(mac.finalize())

    def test_a_secret_that_is_published(self) -> None:
        """A symmetric key among an issuer's is nobody's, also where an algorithm has its name."""
        key = symmetric(b"0123456789abcdef0123456789abcdef")
        listed = [{**key.as_dict(private=True), "kid": "oct"}, *published()["keys"]]
        self.refused(sign("HS256", OctKey.import_key(listed[0])), keys={"keys": listed})
        self.assertRaises(ValueError, KeySet, {"keys": listed[:1]})

    def test_none(self) -> None:
        """In whatever case, with and without a signature."""
        claims = {"iss": URL, "aud": AUDIENCE, "sub": "anna", "exp": NOW + 60}
        good = sign().rpartition(b".")[2]
        for name in ("none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {"RS256": 1}):
            for signature in (b"", good):
                head = {"kid": "rsa"} | ({} if name is None else {"alg": name})
                self.refused(b".".join((encode(head), encode(claims), signature)))

    def test_an_algorithm_of_another_key(self) -> None:
        """Each is for its own type of key and curve (RFC 8725 section 3.1), and those not named are none."""
        for algorithm, kid in (("RS256", "ec"), ("ES256", "rsa"), ("EdDSA", "rsa"), ("RS256", "ed")):
            self.refused(sign(algorithm, header={"kid": kid}))
        self.refused(sign("ES384", ECKey.generate_key("P-384", {"kid": "ec"})), "algorithm")
        self.refused(sign("RS512", KEYS["RS256"]), "algorithm")
        self.refused(sign(), "algorithm", algorithms=("ES256",))
        bound = {"keys": [{**published(KEYS["RS256"])["keys"][0], "alg": "PS256"}]}
        self.refused(sign(), keys=bound, algorithms=("RS256", "PS256"))

    def test_signatures(self) -> None:
        token = sign()
        self.refused(sign(key=OTHER, header={"kid": "rsa"}), "signature")
        head, claims, signature = token.split(b".")
        self.refused(b".".join((head, encode({"iss": URL, "aud": AUDIENCE, "sub": "bob"}), signature)), "signature")
        self.refused(b".".join((head, claims, b"")), "signature")
        self.refused(b".".join((head, claims, b"AAAA")), "signature")
        self.refused(b".".join((head, claims, sign("ES256").rpartition(b".")[2])), "signature")

    def test_key_that_comes_along(self) -> None:
        """Nobody brings the key that they are checked with."""
        own = OTHER.as_dict(private=False)
        for header in ({"jwk": own}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/c"}):
            self.refused(sign(key=OTHER, header={"kid": "rsa"} | header), "signature")

    def test_extensions(self) -> None:
        """None is known here (RFC 7515 section 4.1.11, RFC 7797)."""
        head = encode({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": False})
        self.refused(head + b".{}." + encode(b"x"), "extension")
        for header in ({"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": True}):
            self.refused(sign(header=header), "extension")

    def test_what_is_no_token(self) -> None:
        claims = encode({"iss": URL})
        deep = b"[" * 4000
        for token in (
            b"a.b",
            b"..",
            b"a.b.c",
            b"a.b.c.d.e",
            encode(b"[]") + b"." + claims + b".x",
            encode(b"1") + b"." + claims + b".x",
            encode({"alg": "RS256"}) + b".!!!.x",
            encode({"alg": "RS256"}) + b"." + encode([]) + b".x",
            encode({"alg": "RS256"}) + b"." + encode(b"\xff\xfe") + b".x",
            encode({"alg": "RS256"}) + b"." + encode(deep) + b".x",
            encode(deep) + b"." + claims + b".x",
        ):
            self.assertRaises(AuthError, Token, token)

    def test_claims(self) -> None:
        """Whose, for whom, until when: each has to be there and right."""
        self.refused(sign(iss="https://login.example.com/"), "issuer")
        for audience in ("other", None, [], ["other"], AUDIENCE + "x", AUDIENCE.upper(), 5, {AUDIENCE: 1}):
            self.refused(sign(aud=audience), "audience")
        for expires in (None, "9999999999", True, [NOW + 60], {}):
            self.refused(sign(exp=expires), "until when")
        self.refused(sign(nbf=NOW + 31), "not valid yet")
        self.refused(sign(nbf="soon"), "until when")
        self.assertEqual(check(sign(aud=["other", AUDIENCE], nbf=NOW + 29))["sub"], "anna")
        self.assertEqual(check(sign(aud="two"), audience=("one", "two"))["sub"], "anna")

    def test_expired(self) -> None:
        """With the clocks' difference; told apart from what never was one."""
        self.assertEqual(check(sign(exp=NOW - 29))["sub"], "anna")
        self.assertEqual(check(sign(exp=NOW + 0.5), now=NOW + 30.4)["sub"], "anna")
        self.assertEqual(check(sign(exp=10**400, nbf=-(10**400)))["sub"], "anna")
        self.assertRaises(AuthError, check, sign(nbf=10**400))
        for expires, leeway in ((NOW - 30, 30.0), (NOW, 0.0), (0, 300.0), (-1e300, 0.0)):
            self.assertRaises(KeyExpired, check, sign(exp=expires), leeway=leeway)

    def test_type(self) -> None:
        """Only where one is asked for; in either of its forms (RFC 9068 section 4)."""
        for typ in ("at+jwt", "application/at+jwt", "AT+JWT"):
            self.assertEqual(check(sign(header={"typ": typ}), typ="at+jwt")["sub"], "anna")
        for header in ({"typ": "JWT"}, {}, {"typ": 5}):
            self.refused(sign(header=header), typ="at+jwt")


class Keys(SynchronousTestCase):
    def test_without_an_id(self) -> None:
        """A token that names no key is of the only one that could be meant."""
        self.assertEqual(check(sign(header={"kid": None}))["sub"], "anna")
        token = sign(header={"kid": None})
        self.assertRaises(AuthError, check, token, published(KEYS["RS256"], OTHER))
        self.assertRaises(AuthError, check, sign(header={"kid": 5}), published(OTHER))

    def test_what_is_left_out(self) -> None:
        """What is for something else, not understood, or too weak; the others are good."""
        good = published(KEYS["RS256"])["keys"]
        numbers = generate_private_key(65537, 1024).public_key().public_numbers()
        weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": encode(numbers.n.to_bytes(128)).decode()}
        for other in (
            {**published(OTHER)["keys"][0], "use": "enc"},
            {**published(OTHER)["keys"][0], "key_ops": ["encrypt"]},
            {"kty": "AKP", "kid": "new"},
            {"kty": "RSA", "kid": "broken"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "RSA", "n": 5, "e": None},
            weak,
            "no key",
            None,
        ):
            keys = KeySet({"keys": [other, *good]})
            self.assertTrue(keys.knows("rsa"))
            self.assertFalse(keys.knows("other") or keys.knows("weak"))
            self.assertRaises(ValueError, KeySet, {"keys": [other]})
        for document in ({}, [], None, {"keys": {}}, {"keys": []}, {"keys": "x"}):
            self.assertRaises(ValueError, KeySet, document)

    def test_the_same(self) -> None:
        self.assertEqual(KeySet(published()), KeySet(published()))
        self.assertNotEqual(KeySet(published()), KeySet(published(OTHER)))

    def test_curves(self) -> None:
        """An exchange key signs nothing."""
        exchange = OKPKey.generate_key("X25519", {"kid": "ed"})
        self.assertRaises(AuthError, check, sign("EdDSA"), published(exchange))
