"""Whether a JSON value fits a JSON Schema, in bounded time whatever either of them is: extra ``json_schema``.

By jsonschema, whose keywords are functions, so that the time is looked at before each of them and the whole can be
stopped: schemas come from callers, and one of twenty lines can ask for 2^20 of them, or for no end. Validators that
compile a schema to native code cannot be stopped, nor can Python's ``re``, which holds up every thread while it tries;
``regex`` has a limit of time. Nothing is fetched: a reference leads within its schema.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import regex
from jsonschema import validators
from jsonschema.exceptions import ValidationError
from referencing import Registry

LONGEST_PATTERN = 1000
DEEPEST = 150
"""Keywords within keywords: far from Python's own limit, at which ``rpds``, within jsonschema, panics."""
_DRAFTS = {
    "draft-04": validators.Draft4Validator,
    "draft-06": validators.Draft6Validator,
    "draft-07": validators.Draft7Validator,
    "draft/2019-09": validators.Draft201909Validator,
    "draft/2020-12": validators.Draft202012Validator,
}
_decode = msgspec.json.Decoder().decode


class Exhausted(Exception):
    """It would take longer than allowed."""


class UnusableSchema(Exception):
    """No value can be judged by it: it is none, refers to something outside, or has a pattern that is none."""


class _Allowance(threading.local):
    """Of the validation under way in this thread.

    :ivar until: seconds of processor time of this thread at which it is over.
    :ivar patterns: the schema has some for names of properties.
    :ivar depth: keywords that are being applied, each within the one before.
    """

    until = 0.0
    patterns = False
    depth = 0


_allowance = _Allowance()


def _left() -> float:
    """Seconds.

    :raises Exhausted: none.
    """
    left = _allowance.until - time.thread_time()
    if left <= 0:
        raise Exhausted
    return left


def _timed(keyword: Callable[..., Any], validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    _left()
    if _allowance.depth == DEEPEST:
        raise Exhausted
    _allowance.depth += 1
    try:
        yield from keyword(validator, value, instance, schema) or ()
    finally:
        _allowance.depth -= 1


def _search(pattern: str, text: str) -> bool:
    """As ``re.search``, within the time that is left."""
    if len(pattern) > LONGEST_PATTERN:
        raise UnusableSchema
    try:
        return regex.search(pattern, text, timeout=_left(), concurrent=True) is not None
    except TimeoutError:
        raise Exhausted from None
    except regex.error:
        raise UnusableSchema from None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _search(pattern, instance):
        yield ValidationError("pattern")


def _pattern_properties(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, within in properties.items():
            for name, value in instance.items():
                if _search(pattern, name):
                    yield from validator.descend(value, within, path=name, schema_path=pattern)


def _additional_properties(validator: Any, within: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, value in instance.items():
            if name not in named and not any(_search(pattern, name) for pattern in patterns):
                yield from validator.descend(value, within, path=name)


def _unevaluated(keyword: Callable[..., Any], validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """jsonschema's own, which matches the patterns of names with ``re``."""
    if _allowance.patterns:
        raise UnusableSchema
    yield from keyword(validator, value, instance, schema) or ()


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """jsonschema's own compares each with each other."""
    if wanted and isinstance(instance, list):
        seen = set()
        for each in instance:
            _left()
            seen.add(_hashable(each))
        if len(seen) < len(instance):
            yield ValidationError("uniqueItems")


def _hashable(value: Any) -> Any:
    """Equal for what JSON Schema has as equal: ``1`` and ``1.0`` are, ``1`` and ``true`` are not."""
    if isinstance(value, dict):
        return frozenset((name, _hashable(each)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return ("truth", value) if isinstance(value, bool) else value


_OURS = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique,
}


def _bounded(draft: Any) -> Any:
    """``draft``'s validator, which looks at the time."""
    keywords = {**draft.VALIDATORS, **{name: each for name, each in _OURS.items() if name in draft.VALIDATORS}}
    if "unevaluatedProperties" in keywords:
        keywords["unevaluatedProperties"] = partial(_unevaluated, keywords["unevaluatedProperties"])
    return validators.extend(draft, {name: partial(_timed, each) for name, each in keywords.items()})


_VALIDATORS = {name: _bounded(draft) for name, draft in _DRAFTS.items()}


class Schema:
    """One schema, of draft 2020-12 unless it says another.

    :raises UnusableSchema: it is no JSON object or truth.
    """

    def __init__(self, raw: bytes) -> None:
        try:
            schema = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnusableSchema from None
        if not isinstance(schema, dict | bool):
            raise UnusableSchema
        said = schema.get("$schema") if isinstance(schema, dict) else None
        draft = next((each for name, each in _VALIDATORS.items() if isinstance(said, str) and name in said), None)
        nothing_else: Any = Registry()
        self._validator = (draft or _VALIDATORS["draft/2020-12"])(schema, registry=nothing_else)
        self._patterns = b"patternProperties" in raw

    def fits(self, text: str | bytes, seconds: float) -> bool:
        """Whether ``text`` is JSON that fits.

        :param seconds: of the processor's time.
        :raises Exhausted: it takes more, or leads too deep. :raises UnusableSchema: the schema cannot be applied.
        """
        try:
            value = _decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        _allowance.until, _allowance.patterns, _allowance.depth = time.thread_time() + seconds, self._patterns, 0
        try:
            return next(self._validator.iter_errors(value), None) is None
        except (Exhausted, UnusableSchema):
            raise
        except RecursionError:
            raise Exhausted from None
        except Exception:  # whatever a schema that is none may have a validator raise
            raise UnusableSchema from None
