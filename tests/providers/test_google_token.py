"""Google's tokens: fetched, kept, fetched again."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource

from llmedge.errors import ConnectFailed, UpstreamTimeout, VendorRejectedCredentials
from llmedge.providers.google_token import SCOPE, VertexToken
from llmedge.providers.service_account import ServiceAccount
from tests.providers.threads import Counting

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
FILE = {
    "type": "service_account",
    "project_id": "p-1",
    "private_key_id": "kid-1",
    "private_key": PEM,
    "client_email": "robot@p-1.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
NOW = 1_700_000_000


class Response:
    def __init__(self, code: int, body: bytes) -> None:
        self.code = code
        self.length = len(body)
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))


class FakeTreq:
    """Answers each request with the next thing in ``answers``; ``None`` never comes."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def post(self, url: str, **kw: Any) -> Deferred[Any]:
        self.asked.append({"url": url, **kw})
        answer = self.answers.pop(0)
        if answer is None:
            return Deferred()
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


def token(text: str, lifetime: Any = 3600) -> Response:
    body = {"access_token": text, "expires_in": lifetime, "token_type": "Bearer"}
    return Response(200, json.dumps(body).encode())


def unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Tokens(SynchronousTestCase):
    def make(self, *answers: Any, **fields: Any) -> VertexToken:
        self.reactor = Counting()
        self.reactor.advance(NOW)
        self.http = FakeTreq(*answers)
        account = ServiceAccount.parse(json.dumps(FILE | fields))
        self.signer = VertexToken(self.reactor, account, self.http)
        return self.signer

    def ask(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.signer.headers("POST", "https://x", b""))

    def has(self, text: str) -> None:
        self.assertEqual(self.successResultOf(self.ask()), [("authorization", f"Bearer {text}")])

    def fails(self, kind: type[Exception], words: str) -> None:
        error = self.failureResultOf(self.ask(), kind).value
        self.assertIn(words, error.message)
        self.assertNotIn("PRIVATE", error.message)

    def test_the_assertion(self) -> None:
        """A JWT the key's owner can verify, made in a thread, sent as RFC 7523 has it."""
        self.make(token("t1"))
        self.has("t1")
        (asked,) = self.http.asked
        self.assertEqual(self.reactor.threads, 1)
        self.assertEqual(asked["url"], FILE["token_uri"])
        self.assertIs(asked["allow_redirects"], False)
        form = {name: values[0] for name, values in parse_qs(asked["data"].data.decode()).items()}
        self.assertEqual(set(form), {"grant_type", "assertion"})
        self.assertEqual(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer")
        head, claims, signature = form["assertion"].split(".")
        self.assertEqual(json.loads(unpad(head)), {"alg": "RS256", "typ": "JWT", "kid": "kid-1"})
        self.assertEqual(
            json.loads(unpad(claims)),
            {
                "iss": FILE["client_email"],
                "scope": SCOPE,
                "aud": FILE["token_uri"],
                "iat": NOW,
                "exp": NOW + 3600,
            },
        )
        signed = f"{head}.{claims}".encode()
        KEY.public_key().verify(unpad(signature), signed, PKCS1v15(), hashes.SHA256())

    def test_with_treq_itself(self) -> None:
        """The same through a real HTTPClient, over a server in memory."""
        seen: list[Any] = []

        class Endpoint(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                form = parse_qs(request.content.read().decode())
                seen.append((request.uri, request.getHeader("content-type"), set(form)))
                return b'{"access_token":"real","expires_in":3600}'

        self.make()
        agent = RequestTraversalAgent(Endpoint())
        self.signer._http = HTTPClient(agent)
        waiting = self.ask()
        agent.flush()
        self.assertEqual(self.successResultOf(waiting), [("authorization", "Bearer real")])
        self.assertEqual(seen, [(b"/token", "application/x-www-form-urlencoded", {"grant_type", "assertion"})])

    def test_what_our_connections_say(self) -> None:
        """Is said of the token's endpoint, not of Vertex."""
        self.make(UpstreamTimeout("did not answer within 30 s"))
        self.fails(ConnectFailed, "could not get an access token: its endpoint did not answer within 30 s")

    def test_only_the_first_request_waits(self) -> None:
        """Ten minutes before its end a token is replaced in the background; the old one serves meanwhile."""
        second: Deferred[Any] = Deferred()
        self.make(token("t1"), second, token("t3"))
        self.has("t1")
        self.reactor.advance(2999)
        self.has("t1")
        self.assertEqual(len(self.http.asked), 1)
        self.reactor.advance(1)
        self.assertEqual(len(self.http.asked), 2)  # nobody had to ask
        self.has("t1")
        second.callback(token("t2"))
        self.has("t2")
        self.reactor.advance(3000)
        self.has("t3")
        self.assertEqual(len(self.http.asked), 3)

    def test_one_fetch_for_all_who_wait(self) -> None:
        """And a client that leaves does not stop it."""
        first: Deferred[Any] = Deferred()
        self.make(first)
        waiting = [self.ask() for _ in range(3)]
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertNoResult(waiting[0])
        first.callback(token("t1"))
        for each in (waiting[0], waiting[2]):
            self.assertEqual(self.successResultOf(each), [("authorization", "Bearer t1")])
        self.assertEqual(len(self.http.asked), 1)

    def test_a_failing_refresh_is_retried(self) -> None:
        """With growing pauses, while the old token serves; when it has ended, requests fail at once."""
        refused = ConnectionRefusedError()
        self.make(token("t1"), *[refused] * 60, token("t2"))
        self.has("t1")
        self.reactor.advance(3000)
        pauses = []
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            count = len(self.http.asked)
            self.reactor.advance(pause - 0.5)
            self.assertEqual(len(self.http.asked), count, pauses)
            self.reactor.advance(0.5)
            self.assertEqual(len(self.http.asked), count + 1)
            self.has("t1")
        self.reactor.pump([60] * 8)
        self.fails(ConnectFailed, "could not get an access token: ConnectionRefusedError")
        while len(self.http.answers) > 1:
            self.reactor.advance(60)
        self.reactor.advance(60)
        self.has("t2")

    def test_a_failing_first_fetch(self) -> None:
        """Not asked again before a pause, then with the next request."""
        self.make(
            Response(503, b"busy"), Response(400, b'{"error":"invalid_grant","error_description":"x"}'), token("t")
        )
        self.fails(ConnectFailed, "answered with status 503")
        self.fails(ConnectFailed, "answered with status 503")
        self.assertEqual(len(self.http.asked), 1)
        self.reactor.advance(1)
        self.fails(VendorRejectedCredentials, "refused the service account (invalid_grant)")
        self.reactor.advance(2)
        self.has("t")

    def test_each_failure_is_its_own(self) -> None:
        """Whoever catches an error completes its message; the next gets a fresh one."""
        self.make(Response(503, b""))
        for _ in range(2):
            error = self.failureResultOf(self.ask(), ConnectFailed).value
            self.assertEqual(error.of("v").message.count("The provider"), 1)

    def test_silence(self) -> None:
        """A token that does not come is a failure after 15 s."""
        self.make(None)
        waiting = self.ask()
        self.reactor.advance(14)
        self.assertNoResult(waiting)
        self.reactor.advance(1)
        self.assertIn("within 15 s", self.failureResultOf(waiting, ConnectFailed).value.message)

    def test_what_is_no_token(self) -> None:
        """An answer that holds none is a failure to connect."""
        for body in (
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"access_token":5,"expires_in":3600}',
            b'{"access_token":"a\\r\\nx: y","expires_in":3600}',
            b'{"access_token":"a","expires_in":"3600"}',
            b'{"access_token":"a","expires_in":0}',
            b'{"access_token":"a","expires_in":true}',
            b" " * 70_000,
        ):
            self.make(Response(200, body))
            self.fails(ConnectFailed, "could not get an access token")

    def test_short_lives(self) -> None:
        """A token of less than twenty minutes is replaced at half its life."""
        self.make(token("t1", 100), token("t2", 100))
        self.has("t1")
        self.reactor.advance(50)
        self.has("t2")

    def test_closing(self) -> None:
        """Nothing is left running, but what calls under way wait for."""
        self.make(token("t1"), token("t2"))
        self.has("t1")
        self.signer.close()
        self.signer.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.has("t1")
        first: Deferred[Any] = Deferred()
        self.make(first)
        waiting = self.ask()
        self.signer.close()
        first.callback(token("t1"))
        self.assertEqual(self.successResultOf(waiting), [("authorization", "Bearer t1")])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.make(token("t1", 100), None)
        self.has("t1")
        self.reactor.advance(50)  # a refresh has begun, for nobody in particular
        self.signer.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_bad_keys(self) -> None:
        """A key that is none is the credentials' fault."""
        self.make(private_key="-----BEGIN PRIVATE KEY-----\nnope\n-----END PRIVATE KEY-----\n")
        self.fails(VendorRejectedCredentials, "key is not an RSA key")

    def test_files(self) -> None:
        """What is wrong with a file is said, its key is not; it cannot send assertions where it likes."""

        def refused(words: str, **fields: Any) -> None:
            error = self.assertRaises(ValueError, ServiceAccount.parse, json.dumps(FILE | fields))
            self.assertIn(words, str(error))
            self.assertNotIn("PRIVATE", str(error))

        refused("service account", type="authorized_user")
        refused("has no client_email", client_email=None)
        refused("has no private_key", private_key="")
        refused("at 'evil.example'", token_uri="https://evil.example/token")
        refused("at 'evil.example'", token_uri="https://oauth2.googleapis.com@evil.example/token")
        refused("at 'oauth2.googleapis.com'", token_uri="https://oauth2.googleapis.com/other")
        for text in ("", "{", "[]"):
            self.assertRaises(ValueError, ServiceAccount.parse, text)
        found = ServiceAccount.parse(json.dumps(FILE | {"token_uri": "https://evil.example"}), "https://sts.x/token")
        self.assertEqual(found.token_uri, "https://sts.x/token")

    def test_nothing_secret_shows(self) -> None:
        """Neither the key nor a token is in what is shown of the signer."""
        self.make(token("hush-token"))
        self.has("hush-token")
        for shown in (repr(self.signer), repr(self.signer._account)):
            self.assertNotIn("PRIVATE", shown)
            self.assertNotIn("hush-token", shown)
