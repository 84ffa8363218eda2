"""Requests that AWS's signature signs."""

import datetime
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.providers import sigv4
from tests.providers.threads import Counting

try:
    import botocore  # type: ignore[import-not-found]
except ImportError:
    botocore = None

NEEDS_BOTOCORE = None if botocore else "botocore is not installed (extra bedrock)"


class SignatureVersion4(SynchronousTestCase):
    """AWS's published test suite (aws-sig-v4-test-suite): its credentials, its time, its signatures."""

    skip = NEEDS_BOTOCORE
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    def setUp(self) -> None:
        self.reactor = Counting()
        self.reactor.advance(1440938160)  # 20150830T123600Z

    def signer(self, token: str = "", service: str = "service") -> sigv4.SigV4:
        session = Secret(token) if token else None
        credentials = sigv4.AwsCredentials("AKIDEXAMPLE", Secret(self.secret), session)
        return sigv4.SigV4(self.reactor, credentials, "us-east-1", service)

    def headers(self, signer: sigv4.SigV4, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        return dict(self.successResultOf(Deferred.fromCoroutine(signer.headers(method, url, body))))

    def test_published_vectors(self) -> None:
        """Headers as AWS published them."""
        for name, method, path, signature in (
            ("get-vanilla", "GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("post-vanilla", "POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla-query",
                "POST",
                "/?Param1=value1",
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "get-unreserved",
                "GET",
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
        ):
            self.assertEqual(
                self.headers(self.signer(), method, f"https://example.amazonaws.com{path}"),
                {
                    "x-amz-date": "20150830T123600Z",
                    "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                    f"SignedHeaders=host;x-amz-date, Signature={signature}",
                },
                name,
            )

    def test_as_botocore_signs(self) -> None:
        """A call of Converse, signed by botocore's own signer at the same second, with body, port and token."""
        from botocore import auth, awsrequest, credentials

        now = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC)
        url = "https://bedrock-runtime.us-east-1.amazonaws.com:8443/model/us.a.c-v1%3A0/converse-stream"
        for body in (b'{"messages":[]}', b"x" * 300_000):
            request = awsrequest.AWSRequest(method="POST", url=url, data=body)
            signer = auth.SigV4Auth(credentials.ReadOnlyCredentials("AK", "SK", "TOKEN"), "bedrock", "us-east-1")
            with mock.patch.object(auth, "get_current_datetime", return_value=now):
                signer.add_auth(request)
            ours = sigv4.SigV4(self.reactor, sigv4.AwsCredentials("AK", Secret("SK"), Secret("TOKEN")), "us-east-1")
            self.assertEqual(
                self.headers(ours, "POST", url, body), {name.lower(): value for name, value in request.headers.items()}
            )

    def test_large_bodies_are_hashed_in_a_thread(self) -> None:
        """Small ones are not worth it."""
        signer = self.signer()
        self.headers(signer, "POST", "https://x/")
        self.assertEqual(self.reactor.threads, 1)  # loading botocore, once
        self.headers(signer, "POST", "https://x/", b"x" * 1000)
        self.assertEqual(self.reactor.threads, 1)
        self.headers(signer, "POST", "https://x/", b"x" * sigv4.LARGE)
        self.assertEqual(self.reactor.threads, 2)

    def test_the_time_is_the_clocks(self) -> None:
        """A signature is as old as the reactor's clock says."""
        signer = self.signer()
        first = self.headers(signer, "GET", "https://x/")
        self.reactor.advance(61)
        second = self.headers(signer, "GET", "https://x/")
        self.assertEqual(second["x-amz-date"], "20150830T123701Z")
        self.assertNotEqual(first["authorization"], second["authorization"])

    def test_nothing_secret_shows(self) -> None:
        """Neither the key nor the session's token is in what is shown of the signer."""
        signer = self.signer("session")
        self.headers(signer, "GET", "https://x/")
        for shown in (repr(signer), repr(signer._credentials), repr(vars(signer))):
            self.assertNotIn("session", shown.replace("session_token", ""))
            self.assertNotIn(self.secret, shown)
