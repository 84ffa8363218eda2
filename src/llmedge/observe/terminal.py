"""The log for people: on a terminal, and wherever else Twisted's text is written."""

from __future__ import annotations

from typing import IO, Any

from twisted.logger import FileLogObserver, formatEventAsClassicLogText

from llmedge.money import USD
from llmedge.record import FALLBACK, Record


def terminal_line(record: Record) -> str:
    """What one looks for first: ``200 smart → anthropic/claude-sonnet-4-5 (fallback, 2 attempts) team-a 1000+200 tokens
    $0.006 68 ms req_bd45``. Before the time stands what is known, after the id the error. Nothing in it moves a cursor.
    """
    words = [str(record.status)]
    if record.outcome != "ok":
        words.append(record.outcome)
    words.append(_what(record))
    words.append(record.caller or record.peer)
    if (usage := record.accounting.usage) is not None:
        words.append(f"{'about ' if usage.estimated else ''}{usage.input}+{usage.output} tokens")
        if record.accounting.cost is not None:
            words.append(_dollars(record.accounting.cost))
    words.append(f"{((record.ended or record.received) - record.received) * 1000:.0f} ms")
    words.append(record.request_id)
    if record.error_code:
        words.append(f"{record.error_code}: {record.error_message}")
    return _printable(" ".join(words))


def text_observer(out: IO[str]) -> Any:
    """Twisted's text, in which what clients and vendors said moves no cursor. A line that goes on is indented by it."""
    return FileLogObserver(out, _text)


def _text(event: dict[str, Any]) -> str | None:
    text = formatEventAsClassicLogText(event)
    return None if text is None else "\n\t".join(map(_printable, text.removesuffix("\n").split("\n\t"))) + "\n"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _what(record: Record) -> str:
    """``smart → openai/gpt-4o``, or the path where no model was asked for."""
    if not record.model:
        return f"{record.method} {record.route}"
    attempts = record.routing.attempts
    decided = record.routing.deciding_attempt
    what = record.model
    if decided is not None:
        what += f" → {decided.target.provider}/{decided.target.model}"
    notes = ["fallback"] if FALLBACK in record.facts else []
    if len(attempts) > 1:
        notes.append(f"{len(attempts)} attempts")
    return f"{what} ({', '.join(notes)})" if notes else what


def _dollars(cost: int) -> str:
    """To a millionth, with no zeros behind. :param cost: in picos."""
    return "$" + f"{cost / USD:.6f}".rstrip("0").rstrip(".")
