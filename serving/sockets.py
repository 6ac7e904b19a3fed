"""What gevent's sockets cannot do: look at a connection, or end its reading, while a greenlet waits for it."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Any


def client_disconnected(sock: Any) -> bool:
    """Whether the other end sends no more, also where data that it has sent before is unread. Does not wait."""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def stop_reading(sock: Any) -> None:
    """Reads no more from a connection, except for what has arrived: the greenlet that waits for the client sees the end
    of its input. gevent's own shutdown would raise an error there, so this one works on a duplicate of the file
    descriptor, which gevent does not know."""
    with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.shutdown(socket.SHUT_RD)
