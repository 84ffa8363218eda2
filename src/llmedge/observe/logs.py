"""JSON log lines, levels by namespace, and the access log."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any

import msgspec
from twisted.logger import ILogObserver, LogLevel, PredicateResult, formatEvent, globalLogPublisher
from twisted.python.logfile import LogFile
from zope.interface import implementer

from llmedge.config.levels import LEVELS, parse_filter
from llmedge.config.sections.log import Log
from llmedge.observe.writer import LineWriter

_WEIGHT = {level: LEVELS[level.name] for level in LogLevel.iterconstants()}
_NAME = {level: level.name.upper() for level in _WEIGHT} | {LogLevel.critical: "ERROR"}
_TWISTED = {"twisted": "warn", "log_legacy": "warn"}
"""Unless it is asked for: where ports open and the reactor starts, our own lines say so."""
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Levels:
    """Whether a namespace's message of a level is wanted: the longest matching prefix of names decides."""

    def __init__(self, settings: Log) -> None:
        self.set(settings)

    def set(self, settings: Log) -> None:
        """Change what is wanted, from the next message on."""
        default, by_namespace = parse_filter(settings.filter)
        lowest = default or settings.level
        self._lowest = {"": lowest} | (_TWISTED if lowest == "info" else {}) | by_namespace
        self._known: dict[str, int] = {}

    def wanted(self, namespace: str, level: Any) -> bool:
        lowest = self._known.get(namespace)
        if lowest is None:
            prefix = namespace
            while prefix not in self._lowest:
                prefix = prefix.rpartition(".")[0]
            lowest = LEVELS[self._lowest[prefix]]
            if len(self._known) < 1000:
                self._known[namespace] = lowest
        return _WEIGHT.get(level, LEVELS["info"]) >= lowest

    def __call__(self, event: dict[str, Any]) -> Any:
        """A predicate for Twisted's ``FilteringLogObserver``: the text log of a terminal heeds our levels too."""
        wanted = self.wanted(event.get("log_namespace") or "-", event.get("log_level") or LogLevel.info)
        return PredicateResult.maybe if wanted else PredicateResult.no


@implementer(ILogObserver)
class JsonLog:
    """Writes each event as one JSON object.

    ``{"timestamp", "level", "fields": {"message", …}, "target", "span": {"name"}, "request_id", "threadId",
    "filename", "line_number"}``; ``span`` and ``request_id`` only where an event belongs to a request. Fields
    of other packages' events are left out but for the message: nobody vouches for what is in them.
    """

    def __init__(self, out: IO[str], levels: Levels) -> None:
        self.writer = LineWriter(out)
        _writers.append(self.writer)
        self._levels = levels

    def __call__(self, event: dict[str, Any]) -> None:
        namespace = event.get("log_namespace") or "-"
        level = event.get("log_level") or LogLevel.info
        if not self._levels.wanted(namespace, level):
            return
        if (ready := event.get("log_line")) is not None:
            self.writer.write(ready)
            return
        fields: dict[str, Any] = {"message": formatEvent(event)}
        line: dict[str, Any] = {
            "timestamp": timestamp(event["log_time"]),
            "level": _NAME.get(level, "INFO"),
            "fields": fields,
            "target": namespace,
        }
        if namespace.startswith("llmedge"):
            fields |= {name: value for name, value in event.items() if not name.startswith("log_")}
            if (span := fields.pop("span", None)) is not None:
                line["span"] = {"name": span}
            if (request_id := fields.pop("request_id", None)) is not None:
                line["request_id"] = request_id
        if (failure := event.get("log_failure")) is not None:
            fields["error"] = f"{failure.type.__name__}: {failure.getErrorMessage()}"
            fields["traceback"] = failure.getTraceback(elideFrameworkCode=True)
        line["threadId"] = threading.get_ident()
        if (place := _caller()) is not None:
            line["filename"], line["line_number"] = place
        self.writer.write(json_line(line))


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC, to the microsecond; ``seconds`` since 1970."""
    micros = round(seconds * 1e6)
    return f"{_second(micros // 1000000)}.{micros % 1000000:06d}Z"


def json_line(value: Any) -> str:
    """``value`` as JSON, with a newline."""
    try:
        return _encode(value).decode() + "\n"
    except UnicodeEncodeError:  # half a surrogate pair: json escapes what UTF-8 cannot hold
        return json.dumps(msgspec.to_builtins(value, enc_hook=str)) + "\n"


def _caller() -> tuple[str, int] | None:
    """File and line of whoever logged, the logging itself left out; ``None`` for an event replayed at start-up."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("twisted.logger", __name__)):
        if frame.f_code.co_name == "replayTo":
            return None
        frame = frame.f_back
    if frame is None:
        return None
    module = frame.f_globals.get("__name__", "")
    package = module.partition(".")[0]
    path = frame.f_code.co_filename.replace("\\", "/")
    index = path.rfind(f"/{package}/")
    return (path[index + 1 :] if index >= 0 else path.rpartition("/")[2]), frame.f_lineno


_writers: list[LineWriter] = []
_sole: tuple[JsonLog, int] | None = None


def sole(log: JsonLog, lowest: Any = LogLevel.debug) -> JsonLog:
    """``log`` is the process's log; its host lets nothing below ``lowest`` through."""
    global _sole
    _sole = (log, _WEIGHT[lowest])
    return log


def direct(level: Any) -> Callable[[str], None] | None:
    """Takes whole lines of ``level``, past twisted's publisher, which asks a dozen functions for each event; ``None``
    where somebody else listens too, or nobody writes JSON."""
    if _sole is None or len(getattr(globalLogPublisher, "_observers", ())) != 1:
        return None
    log, lowest = _sole
    return log.writer.write if _WEIGHT[level] >= lowest else lambda line: None


def finish() -> None:
    """Write out what is logged so far, and from now on at once: the process is about to end."""
    for writer in _writers:
        writer.finish()


levels = Levels(Log())
"""The levels in force; one process has one log."""

path = "-"
"""Where :func:`json_to_path` writes; ``-`` is the standard output."""


def json_to_path() -> JsonLog:
    """The observer for ``twistd --logger``, which takes it by name."""
    out: Any = sys.stdout if path == "-" else LogFile.fromFullPath(path)  # type: ignore[no-untyped-call]
    return sole(JsonLog(out, levels))
