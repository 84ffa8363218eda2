"""Where an issuer's keys come from: fetched and renewed in the background, kept while the issuer is away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from prometheus_client.core import CounterMetricFamily, Metric
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger

from llmedge.config.sections.jwt import Jwt
from llmedge.config.urls import in_the_clear
from llmedge.deadlines import stop
from llmedge.errors import EdgeError
from llmedge.identity.jwt import KeySet

log = Logger()

LIFE = 600.0
"""Seconds after which keys are fetched again where the issuer does not say; else as it says, within the next two."""
LEAST_LIFE, LONGEST_LIFE = 60.0, 86_400.0
PAUSE = 30.0
"""Seconds between two tries, whatever asks for them."""
STALE = 86_400.0
"""Seconds beyond its life for which a set serves while the issuer is away."""
PATIENCE = 2.0
"""Seconds a call waits for keys at most."""
FETCH_TIMEOUT = 15.0
_MAX_AGE = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?(\d{1,9})', re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|,)\s*(?:no-cache|no-store)\b", re.IGNORECASE)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Fetch(Protocol):
    """Asks for a URL that the configuration names, or an issuer it names.

    :returns: status, ``Cache-Control`` and body.
    :raises Exception: that could not be had; an :class:`EdgeError` says why.
    """

    async def __call__(self, url: str) -> tuple[int, str, bytes]: ...


class Fetches:
    """How often issuers were asked, in this process, and how that ended."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """By issuer and outcome."""

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        family = CounterMetricFamily("llm_jwks_fetches", "Fetches of issuers' keys.", labels=["issuer", "outcome"])
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        yield family


class KeySource:
    """The keys of one issuer. It is asked once in :data:`PAUSE` seconds at most, however many tokens name a key that is
    not there.

    :param clock: ``IReactorTime``. :param fetches: where it is counted how often.
    :ivar changed: called when there are other keys than before.
    """

    def __init__(self, settings: Jwt, clock: Any, fetches: Fetches) -> None:
        self.place = (settings.issuer, settings.metadata_url, settings.jwks_url)
        """What makes it another one."""
        self.changed: Callable[[], None] = lambda: None
        self._issuer, self._metadata_url, self._jwks_url = self.place
        self._clock = clock
        self._counts = fetches.counts
        for outcome in ("ok", "error"):
            self._counts[self._issuer, outcome] += 0
        self._fetch: Fetch | None = None
        self._keys: KeySet | None = None
        self._good_until = self._tried = float("-inf")
        self._fetching: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._timer: Any = None
        self._away = False

    def start(self, fetch: Fetch) -> None:
        """Keep the keys current from now on, by ``fetch``."""
        self._fetch = fetch
        if self._timer is None and self._fetching is None:
            self._renew()

    def stop(self) -> None:
        """Nobody needs it any more. Harmless when repeated."""
        self._fetch = None
        stop(self._timer)
        self._timer = None
        if self._fetching is not None:
            self._fetching.cancel()

    def keys(self) -> KeySet | None:
        """Those there are; ``None``: none, or none that is not too old."""
        return self._keys if self._clock.seconds() < self._good_until else None

    def ask(self) -> Deferred[None] | None:
        """Somebody knows of a key that is not there. Fires when the issuer was asked, :data:`PATIENCE` seconds from now
        at the latest; ``None``: it was asked a moment ago."""
        if self._fetching is None and self._clock.seconds() - self._tried >= PAUSE:
            self._renew()
        if self._fetching is None:
            return None
        turn: Deferred[None] = Deferred(self._waiting.remove)  # who leaves does not stop the others' keys
        self._waiting.append(turn)
        return turn.addTimeout(PATIENCE, self._clock, lambda result, timeout: None)  # what is there will do

    def _renew(self) -> None:
        stop(self._timer)
        self._timer = None
        fetch = self._fetch
        if fetch is None:
            return
        self._tried = self._clock.seconds()
        fetching = Deferred.fromCoroutine(self._refresh(fetch))
        if not fetching.called:
            self._fetching = fetching

    async def _refresh(self, fetch: Fetch) -> None:
        life = PAUSE
        try:
            keys, life = await Deferred.fromCoroutine(self._ask(fetch)).addTimeout(FETCH_TIMEOUT, self._clock)
        except CancelledError:
            pass
        except Exception as error:
            if isinstance(error, TimeoutError):
                why = f"no whole answer within {FETCH_TIMEOUT:g} s"
            else:  # of what is not ours the type says enough, and a text might say too much
                known = isinstance(error, EdgeError | ValueError)
                why = str(error) if known else type(error).__name__
            self._counts[self._issuer, "error"] += 1
            if not self._away:
                log.warn("the keys of the issuer {issuer} cannot be had: {why}", issuer=self._issuer, why=why)
            self._away = True
        else:
            self._counts[self._issuer, "ok"] += 1
            self._take(keys, life)
        finally:
            self._fetching = None
            if self._fetch is not None:
                self._timer = self._clock.callLater(max(life, PAUSE), self._renew)
            waiting, self._waiting = self._waiting, []
            for turn in waiting:
                turn.callback(None)

    def _take(self, keys: KeySet, life: float) -> None:
        if self._away or self._keys is None:
            log.info("the keys of the issuer {issuer} are here", issuer=self._issuer)
        self._away, self._good_until = False, self._clock.seconds() + life + STALE
        if keys != self._keys:
            self._keys = keys
            self.changed()

    async def _ask(self, fetch: Fetch) -> tuple[KeySet, float]:
        """The keys, and the seconds they hold.

        :raises ValueError: what came is of no use.
        """
        url = self._jwks_url
        if not url:
            document, _ = await _json(fetch, self._metadata_url)
            if document.get("issuer") != self._issuer:
                raise ValueError("its metadata is that of another issuer")  # OpenID Connect Discovery 1.0 section 4.3
            url = document.get("jwks_uri") or ""
            if not isinstance(url, str) or not url.startswith(("https://", "http://")) or in_the_clear(url):
                raise ValueError("its metadata names no place of its keys that is safe")
        document, cache_control = await _json(fetch, url)
        return KeySet(document), _life(cache_control)


async def _json(fetch: Fetch, url: str) -> tuple[dict[str, Any], str]:
    status, cache_control, body = await fetch(url)
    if status != 200:
        raise ValueError(f"{url} answered with status {status}")
    try:
        return _decode(body), cache_control
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{url} answered with something else than JSON") from None


def _life(cache_control: str) -> float:
    """RFC 9111 section 5.2.2."""
    if _NOT_KEPT.search(cache_control):
        return LEAST_LIFE
    age = _MAX_AGE.search(cache_control)
    return LIFE if age is None else min(max(float(age[1]), LEAST_LIFE), LONGEST_LIFE)
