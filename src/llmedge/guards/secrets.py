"""The type ``secrets``: keys of vendors, private keys, tokens, passwords in URLs and in assignments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llmedge.config.sections.guardrails import Guardrail
from llmedge.guards import assignments, vendor_keys
from llmedge.guards.cuts import CONTEXT, lower, resolved, unfinished
from llmedge.guards.interfaces import Find, GuardDeps, GuardType

_CLASSES = bytes(97 if each < 128 and (chr(each).isalnum() or chr(each) in "_-./") else 32 for each in range(256))
_SHORTEST = b"a" * 16
"""Keys have no fewer characters of these classes."""
_INNER = re.compile(r"[_./-](?=[A-Za-z0-9])")
_DIGIT = re.compile("[0-9]")

_BLOCK = 8192
"""Characters between the lines that begin and end a private key, at most."""
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BEGUN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,50}-{0,5}\Z")
_END = re.compile(r"-----END [A-Z0-9 ]{0,50}-----")
_LINES = re.compile(r"(?:(?:\s|\\[nr]){1,4}[A-Za-z0-9+/=:,.-]{16,}(?=\s|\\[nr]|\Z)){0,120}")


class Secrets:
    """Finds secrets, each a ``KEY``."""

    kinds = frozenset({"KEY"})
    reach = _BLOCK + 200
    context = CONTEXT

    def quiet(self, text: str) -> bool:
        if "-----BEGIN" in text or ("@" in text and "://" in text):
            return False
        low = lower(text)
        if ":" in text and "curl" in low:
            return False
        return not any(_long_words(text, 0)) and not any(assignments.names(text, low, 0))

    def find(self, text: str, start: int = 0) -> list[Find]:
        found: list[Find] = [*_keys(text, start)]
        low = lower(text)
        found += assignments.assigned(text, low, start)
        if ":" in text and "curl" in low:
            found += assignments.of_curl(text, start)
        if "@" in text and "://" in text:
            found += assignments.in_urls(text, start)
        if "-----BEGIN" in text:
            found += _blocks(text, start)
        return [each for each in resolved(found) if each.start >= start]

    def growing(self, text: str) -> int:
        size = len(text)
        held = unfinished(text, vendor_keys.LONGEST)
        at = text.rfind("-----BEGIN ", max(0, size - self.reach))
        if at >= 0 and not _END.search(text, at) and (_BEGIN.match(text, at) or _BEGUN.match(text, at)):
            return max(held, size - at)
        return held


def _long_words(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where words of 16 characters and more begin and end, one of them a digit."""
    classes = text.encode("latin-1", "replace").translate(_CLASSES)
    end = start
    while (begin := classes.find(_SHORTEST, end)) >= 0:
        end = (classes.find(b" ", begin) + 1 or len(text) + 1) - 1
        if _DIGIT.search(text, begin, end):
            yield begin, end


def _keys(text: str, start: int) -> Iterator[Find]:
    """Those of vendors."""
    for begin, end in _long_words(text, max(0, start - CONTEXT)):
        escaped = text[begin - 1 : begin] == "\\" and text[begin] in "nrt"
        for at in (begin + escaped, *(each.end() for each in _INNER.finditer(text, begin, end))):
            if at >= start and (behind := vendor_keys.key_at(text, at)) > 0:
                yield Find(at, behind, "KEY")


def _blocks(text: str, start: int) -> Iterator[Find]:
    """Private keys as PEM has them (RFC 7468), or what is there of one whose end is missing."""
    for begun in _BEGIN.finditer(text, start):
        end = _END.search(text, begun.end(), begun.end() + _BLOCK)
        other = text.find("-----BEGIN ", begun.end(), begun.end() + _BLOCK)
        if end is not None and not 0 <= other < end.start():
            yield Find(begun.start(), end.end(), "KEY")
        elif lines := _LINES.match(text, begun.end(), begun.end() + _BLOCK):
            yield Find(begun.start(), lines.end(), "KEY")


class SecretsType(GuardType):
    name = "secrets"
    detects = True
    settings = Guardrail

    def make(self, settings: Guardrail, deps: GuardDeps) -> Secrets:
        return Secrets()


TYPE: Any = SecretsType()
