"""What the kernel knows about a connection: how much its client has taken, and whether it owes us to take more.

Only the kernel knows: a response waits in its buffers (megabytes of them) long after the server is done with it, and sendfile
goes past the server altogether.
"""

from __future__ import annotations

import asyncio
import socket
import struct

# Of struct tcp_info of Linux, 4.6 and later: segments that were not acknowledged, bytes that were, bytes not sent yet.
_UNACKED, _ACKED, _NOT_SENT, _SIZE = 24, 120, 144, 148
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_U32, _U64 = struct.Struct("=I"), struct.Struct("=Q")
#: On, for no seconds: what was not taken is thrown away.
_AT_ONCE = struct.pack("ii", 1, 0)


def delivered(transport: asyncio.BaseTransport) -> tuple[int, bool] | None:
    """Bytes that the client has taken in all, and is there something that it has not? ``None``: this system cannot tell."""
    connection = transport.get_extra_info("socket")
    if _TCP_INFO is None or connection is None:
        return None
    try:
        found = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE)
    except OSError:
        return None
    if len(found) < _SIZE:
        return None
    owed = _U32.unpack_from(found, _UNACKED)[0] or _U32.unpack_from(found, _NOT_SENT)[0]
    return _U64.unpack_from(found, _ACKED)[0], bool(owed)


def drop(transport: asyncio.BaseTransport) -> None:
    """End a connection whose client takes nothing; whoever sends to it finds that out by an error.

    Aborting the transport would not do: a sendfile in progress would wait for ever.
    """
    connection = transport.get_extra_info("socket")
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        connection.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
