"""What is asked of a Twisted transport beyond its public interface, in one place."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server


def unsent(transport: Any) -> int:
    """Bytes given to a transport that the kernel has not taken.

    Where Twisted's names are not what they were, 0, which claims nothing.
    """
    transport = getattr(transport, "transport", None) or transport  # below TLS
    held = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    waiting: int = getattr(transport, "_tempDataLen", 0)
    return held + waiting


def write_now(transport: Any, data: bytes) -> None:
    """Write ``data``, to the kernel in this very turn where nothing waits before it.

    ``transport.write`` only queues: the socket is registered for writing, the reactor comes round, writes, and
    registers it back. For an answer that fits the socket's buffer that is a third of a small request's cost. Whatever
    the kernel does not take, and whatever is no plain TCP connection, goes the usual way.
    """
    if type(transport) is Server and not transport.disconnecting and transport.connected:
        held = len(getattr(transport, "dataBuffer", b"?")) - getattr(transport, "offset", 0)
        if not held and not getattr(transport, "_tempDataLen", 1) and not transport.TLS:
            sent: Any = transport.writeSomeData(data)
            if isinstance(sent, int):  # else what the reactor will find out as well, in its own time
                if sent == len(data):
                    return
                data = data[sent:]
    transport.write(data)
