"""What gevent's sockets cannot do: look at a connection, or end its reading, while a greenlet waits for it.

Both work on a duplicate of the file descriptor that gevent does not know.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any


def client_disconnected(sock: Any) -> bool:
    """Whether the other end has closed the connection. Does not wait, and reads nothing."""
    with socket.socket(fileno=os.dup(sock.fileno())) as twin:
        try:
            return twin.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def stop_reading(sock: Any) -> None:
    """Reads no more from a connection, except for what has arrived: the greenlet that waits for the client sees the end
    of its input. gevent's own shutdown would raise an error there."""
    with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.shutdown(socket.SHUT_RD)
