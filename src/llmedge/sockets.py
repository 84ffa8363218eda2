"""What is asked of a Twisted transport beyond its public interface, in one place."""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Client, Server
from twisted.internet.unix import Client as UnixClient


def unsent(transport: Any) -> int:
    """Bytes given to a transport that the kernel has not taken.

    Where Twisted's names are not what they were, 0, which claims nothing.
    """
    transport = getattr(transport, "transport", None) or transport  # below TLS
    held = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    waiting: int = getattr(transport, "_tempDataLen", 0)
    return held + waiting


UNSENT = 65536
"""Bytes that the kernel takes for a client beyond what is on its way to it."""
BUFFER = 32768
"""Bytes behind those from which whoever writes to the client is paused."""


def limit_unsent(port: Any) -> None:
    """Have the kernel hold at most :data:`UNSENT` bytes for each client of ``port`` that does not read. Left alone it
    takes some MiB, for which a vendor would be read. Connections inherit it; not every system has it.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    listening = getattr(port, "socket", None)
    if option is not None and listening is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


def limit_buffer(transport: Any) -> None:
    """Pause whoever writes to ``transport`` from :data:`BUFFER` bytes on, half of what Twisted holds."""
    transport = getattr(transport, "transport", None) or transport  # below TLS
    if hasattr(transport, "bufferSize"):
        transport.bufferSize = BUFFER


_PLAIN = (Server, Client)
_ASKABLE = (*_PLAIN, UnixClient)


def write_now(transport: Any, data: bytes) -> None:
    """Write ``data``, to the kernel in this very turn where nothing waits before it.

    ``transport.write`` only queues: the socket is registered for writing, the reactor comes round, writes, and
    registers it back. For an answer that fits the socket's buffer that is a third of a small request's cost. Whatever
    the kernel does not take, and whatever is no plain TCP connection, goes the usual way.
    """
    if type(transport) in _PLAIN and transport.connected and not transport.disconnecting and not transport.TLS:
        held = len(transport.dataBuffer) - transport.offset
        if not held and not transport._tempDataLen:
            sent: Any = transport.writeSomeData(data)
            if isinstance(sent, int):  # else what the reactor will find out as well, in its own time
                if sent == len(data):
                    return
                data = data[sent:]
    transport.write(data)


def close(transport: Any) -> None:
    """Close behind what is written; whoever produces into it has to be unregistered.

    Within TLS ``close_notify`` comes last. That of the other end, which Twisted waits for, need not be (RFC 8446
    section 6.1), and many send none.
    """
    transport.loseConnection()
    if ISSLTransport(transport, None) is not None and not getattr(transport, "_appSendBuffer", b"?"):
        transport.transport.loseConnection()


def close_writing(transport: Any) -> None:
    """Close behind what is written, and go on reading what the other end sends, as far as that can be done.

    Within TLS that is what ``loseConnection`` does: it says ``close_notify`` and waits for that of the other end. A
    socket whose half was closed without would look like one that is attacked (RFC 8446 section 6.1).
    """
    half_close = getattr(transport, "loseWriteConnection", None)
    if half_close is None or ISSLTransport(transport, None) is not None:
        transport.loseConnection()
    else:
        half_close()


def was_closed(transport: Any) -> bool:
    """Whether the other end of a connection at rest has closed it, which the reactor is still to find out.

    Asked of the kernel, where it is a plain TCP connection or a unix socket; ``False`` elsewhere.
    """
    if type(transport) not in _ASKABLE or not transport.connected:
        return False
    poll = getattr(transport, "llmedge_poll", None)
    if poll is None:
        poll = transport.llmedge_poll = select.poll()
        poll.register(transport.fileno(), select.POLLIN)
    return bool(poll.poll(0))
