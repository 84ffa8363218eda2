"""The states of an HTTP/1.1 connection, as ``http1_llhttp`` has them. They are drawn in docs/states.rst."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What a connection is at. The order counts: up to ``HEAD`` no request is at hand, up to ``STREAMING`` more of one
    is waited for, from ``REFUSING`` on what comes is thrown away."""

    IDLE = 0  # nothing of a request is here
    HEAD = 1  # part of a head is
    BODY = 2  # a request waits for its body
    STREAMING = 3  # a request is at work, and reads its body as it comes
    ANSWERING = 4  # a request is at work, all of it is here
    UPGRADED = 5  # the bytes are another protocol's
    REFUSING = 6  # a request is answered that is not read to its end
    CLOSING = 7  # what is written goes out
    CLOSED = 8


TRANSITIONS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset(State) - {State.IDLE, State.UPGRADED},
    State.HEAD: frozenset(State) - {State.HEAD, State.UPGRADED},
    State.BODY: frozenset({State.ANSWERING, State.REFUSING, State.CLOSED}),
    State.STREAMING: frozenset({State.ANSWERING, State.REFUSING, State.CLOSING, State.CLOSED}),
    State.ANSWERING: frozenset({State.IDLE, State.UPGRADED, State.CLOSING, State.CLOSED}),
    State.UPGRADED: frozenset({State.CLOSING, State.CLOSED}),
    State.REFUSING: frozenset({State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}
"""Where each may lead."""
