"""Clients that connect to gunicorn directly: the checks and time-outs that nginx would have.

Bodies and answers are not buffered: a slow client keeps its greenlet and its connection for as long as it makes
progress.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from gevent import socket

from byo_container.serving.errors import RequestError
from byo_container.serving.settings import MEGABYTE
from byo_container.serving.workers.fast_path import expects_continue

# Seconds for which a client may send nothing of a body, or read nothing of an answer: nginx's client_body_timeout and
# send_timeout.
PATIENCE_S = 60.0
# The part of an answer, in bytes, that a client has to read within that time.
PART_BYTES = 256 * 1024
HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")
OWN_HEADERS = frozenset({"X-REQUEST-ID", "X-REQUEST-START"})


class Client(socket.socket):  # type: ignore[misc]
    """The connection of a client. A client that reads nothing of its answer for `timeout` seconds has disconnected."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            if len(data) <= PART_BYTES:
                super().sendall(data, flags)
                return
            with memoryview(data) as view:
                for start in range(0, len(view), PART_BYTES):  # the timeout is for each part
                    super().sendall(view[start : start + PART_BYTES], flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read its answer") from None


def client(accepted: Any) -> Client:
    """The same connection as a Client."""
    return Client(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())


def admit(req: Any, max_payload: int) -> None:
    """Gives a request an id of our own, which stands in every line of the log, in place of one that the client sent.
    Raises RequestError for a request that nginx would refuse and gunicorn does not."""
    values: dict[str, list[str]] = {}  # of each header all, for repeated ones have to be refused
    for name, value in req.headers:
        values.setdefault(name, []).append(value)
    hosts = values.get("HOST", [])
    if len(hosts) > 1 or (req.version >= (1, 1) and not hosts) or not all(map(HOST.fullmatch, hosts)):
        raise RequestError(400, "send one header Host, with a name or an address")
    if values.get("TRANSFER-ENCODING", ["chunked"])[0].strip().lower() != "chunked":
        raise RequestError(501, "the transfer coding is not known; send Content-Length, or a chunked body")
    # Before `100 Continue` is sent.
    if expects_continue(req) and int(values.get("CONTENT-LENGTH", ["0"])[0]) > max_payload:
        raise RequestError(413, f"the body is above the limit of {max_payload // MEGABYTE} MB; send less at once")
    req.headers = [header for header in req.headers if header[0] not in OWN_HEADERS]
    req.headers.append(("X-REQUEST-ID", os.urandom(16).hex()))
