"""Events, posted to one URL of the configuration and signed, as Standard Webhooks has it
(github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). Never in a call's way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.config.sections.webhook import Webhook as WebhookSettings
from llmedge.config.sections.webhook import key_of
from llmedge.errors import EdgeError
from llmedge.model import Clock

log = Logger()

WAITING = 1000
"""Events that may wait; beyond it the oldest are lost, and counted."""
AGAIN = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before each try but the first; after the last one an event is lost."""

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Posts a body with headers to a URL: the status of the answer.

:raises EdgeError: there is none.
"""


class _Event(NamedTuple):
    id: str
    body: bytes


class Webhook:
    """Posts one event after another; one that is not taken is tried again, and the others wait behind it.

    :ivar sent: events that were taken; ``lost``: that nobody took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settings = WebhookSettings()
        self._post: Post | None = None
        self._waiting: deque[_Event] = deque()
        self._working: Deferred[None] | None = None
        self._complained = False
        self.sent = self.lost = 0

    def use(self, settings: WebhookSettings, post: Post | None) -> None:
        """Where events go from now on; ``None``: nowhere."""
        self._settings, self._post = settings, post if settings.url else None

    def tell(self, type: str, data: Mapping[str, Any]) -> None:
        """Something of the kind ``type`` (``budget.soft_limit``) has happened. Returns at once."""
        if self._post is None:
            return
        at = datetime.fromtimestamp(self._clock.seconds(), UTC).isoformat().replace("+00:00", "Z")
        body = msgspec.json.encode({"type": type, "timestamp": at, "data": data})
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(_Event(f"msg_{secrets.token_hex(12)}", body))
        if self._working is None:
            self._working = working = Deferred.fromCoroutine(self._work())
            working.addErrback(_unless_cancelled)
            if working.called:
                self._working = None

    def stop(self) -> None:
        """What was not taken yet is lost."""
        self._waiting.clear()
        working, self._working = self._working, None
        if working is not None:
            working.cancel()

    async def _work(self) -> None:
        while self._waiting:
            if await self._deliver(self._waiting.popleft()):
                self.sent += 1
            else:
                self.lost += 1
        self._working = None

    async def _deliver(self, event: _Event) -> bool:
        for pause in (0.0, *AGAIN):
            if pause:
                await self._pause(pause)
            if (post := self._post) is None:
                return False
            problem = await self._try(post, event)
            if not problem:
                if self._complained:
                    log.info("the webhook takes events again")
                self._complained = False
                return True
            if not self._complained:
                self._complained = True
                host = urlsplit(self._settings.url).hostname  # its path may be a secret
                log.warn("the webhook at {host} takes no events: {problem}", host=host, problem=problem)
        return False

    async def _try(self, post: Post, event: _Event) -> str:
        """What is wrong, ``""``: it was taken."""
        try:
            status = await post(self._settings.url, self._headers(event), event.body)
        except EdgeError as error:
            return error.message
        except CancelledError:
            raise
        except Exception:
            log.failure("an event could not be posted")
            return "it could not be posted"
        return "" if 200 <= status < 300 else f"status {status}"

    def _headers(self, event: _Event) -> dict[str, str]:
        """Signed with the time of this try: who takes it refuses old ones."""
        at = str(int(self._clock.seconds()))
        headers = {"content-type": "application/json", "webhook-id": event.id, "webhook-timestamp": at}
        if self._settings.secret is not None:
            signed = b".".join((event.id.encode(), at.encode(), event.body))
            digest = hmac.new(key_of(self._settings.secret), signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers

    async def _pause(self, seconds: float) -> None:
        done: Deferred[None] = Deferred(lambda _: delayed.cancel())
        delayed = self._clock.callLater(seconds, done.callback, None)
        await done

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        family = CounterMetricFamily("llm_webhook_events", "Events for the webhook.", labels=["outcome"])
        family.add_metric(["sent"], self.sent)
        family.add_metric(["lost"], self.lost)
        yield family


def _unless_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]  # twisted has no types here
