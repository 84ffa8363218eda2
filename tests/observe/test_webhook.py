"""Events reach whoever is to be told, signed, once, and in nobody's way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.secret import Secret
from llmedge.config.sections.webhook import Webhook as Settings
from llmedge.config.sections.webhook import key_of
from llmedge.errors import ConnectFailed
from llmedge.observe import webhook
from llmedge.observe.webhook import AGAIN, Webhook, _Event

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HERE = Settings("https://hooks.example/secret-path", Secret(SECRET))


class Telling(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_614_265_330)
        self.asked: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answers: list[Deferred[int]] = []
        self.webhook = Webhook(self.clock)
        self.webhook.use(HERE, self.post)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Deferred[int]:
        self.asked.append((url, headers, body))
        self.answers.append(answer := Deferred())
        return answer

    def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.webhook.tell("x.y", {"number": number})

    def answer(self, status: int) -> None:
        self.answers[-1].callback(status)

    def told(self) -> list[Any]:
        return [json.loads(body)["data"]["number"] for _, _, body in self.asked]

    def test_signed(self) -> None:
        """As the example of those who made the rules: over id, time and body. Without a secret not at all."""
        event = _Event("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
        headers = self.webhook._headers(event)
        self.assertEqual(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        self.webhook.use(Settings("http://127.0.0.1:9/x"), self.post)
        self.assertNotIn("webhook-signature", self.webhook._headers(event))

    def test_one_after_another(self) -> None:
        self.tell(1, 2, 3)
        self.assertEqual(self.told(), [1])
        for _ in range(3):
            self.answer(204)
        self.assertEqual((self.told(), self.webhook.sent, self.webhook.lost), ([1, 2, 3], 3, 0))
        self.tell(4)
        url, headers, body = self.asked[-1]
        self.assertEqual((url, headers["content-type"]), (HERE.url, "application/json"))
        self.assertEqual(
            {**json.loads(body), "data": 0}, {"type": "x.y", "timestamp": "2021-02-25T15:02:10Z", "data": 0}
        )

    def test_again(self) -> None:
        """The same event, with a new time, after longer and longer pauses; then it is lost, and the next one's turn."""
        self.tell(1, 2)
        for pause in AGAIN:
            self.answers[-1].errback(ConnectFailed("could not be reached"))
            count = len(self.asked)
            self.clock.advance(pause - 0.1)
            self.assertEqual(len(self.asked), count)
            self.clock.advance(0.1)
        self.assertEqual(self.told(), [1] * 6)
        self.assertEqual(len({headers["webhook-id"] for _, headers, _ in self.asked}), 1)
        self.assertEqual(len({headers["webhook-timestamp"] for _, headers, _ in self.asked}), 6)
        for _, headers, body in self.asked:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = base64.b64encode(hmac.new(key_of(Secret(SECRET)), signed, hashlib.sha256).digest()).decode()
            self.assertEqual(headers["webhook-signature"], f"v1,{digest}")
        self.answer(500)
        self.assertEqual((self.told()[-1], self.webhook.lost), (2, 1))
        self.answer(200)
        self.assertEqual((self.webhook.sent, self.webhook.lost), (1, 1))

    def test_redirects_are_no_success(self) -> None:
        self.tell(1)
        self.answer(302)
        self.assertEqual((self.webhook.sent, len(self.asked)), (0, 1))

    def test_not_without_end(self) -> None:
        """The oldest are lost, and counted; nothing is kept where nobody wants it."""
        self.patch(webhook, "WAITING", 3)
        self.tell(*range(6))
        self.assertEqual((len(self.webhook._waiting), self.webhook.lost), (3, 2))
        self.webhook.use(Settings(), self.post)
        self.answer(500)
        self.clock.advance(1)
        self.assertEqual((len(self.webhook._waiting), self.webhook.lost), (0, 6))
        self.tell(7)
        self.assertEqual(len(self.webhook._waiting), 0)

    def test_a_stop(self) -> None:
        self.tell(1, 2)
        self.webhook.stop()
        self.answers[-1].errback(ConnectFailed("x")) if not self.answers[-1].called else None
        self.assertEqual((self.clock.getDelayedCalls(), len(self.asked)), ([], 1))

    def test_what_is_logged(self) -> None:
        """Once, without the path, which may be a secret."""
        events: list[Any] = []
        self.patch(webhook.log, "warn", lambda text, **fields: events.append(text.format(**fields)))
        self.tell(1)
        for _ in range(3):
            self.answer(404)
            self.clock.advance(30)
        self.assertEqual(events, ["the webhook at hooks.example takes no events: status 404"])
