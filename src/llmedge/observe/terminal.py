"""The access log's line for people: on a terminal, and wherever else Twisted's text is written."""

from __future__ import annotations

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
    line = " ".join(words)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


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
