"""HTTP written by hand: the short way of a request for predictions, and answers to requests that are refused.

The short way needs no Flask, reads no more of WSGI's variables than the application uses, and writes head and body at
once. It takes two thirds of the processor time that the long way takes.
"""

from __future__ import annotations

import time
from typing import Any, NoReturn

from byo_container.container.log import log
from byo_container.serving.api.app import Application
from byo_container.serving.api.invocations import head, waited_s
from byo_container.serving.engine.streaming import Stream
from byo_container.serving.engine.threads import SLOW_CALL_S
from byo_container.serving.errors import RequestError, error_body, status_line
from byo_container.serving.headers import cgi_variables
from byo_container.serving.sockets import client_disconnected
from byo_container.serving.workers.connections import LONG_WAIT_S


def close_connection() -> NoReturn:
    """Ends the connection of this greenlet: gunicorn closes it when handle_request raises StopIteration."""
    raise StopIteration


def buffered_bytes(req: Any) -> bytes:
    """What gunicorn has read of a connection beyond this request."""
    data: bytes = req.unreader.take_buffered()
    return data


def expects_continue(req: Any) -> bool:
    """Whether the client waits for `100 Continue` before it sends its body."""
    return bool(req._expected_100_continue)


def can_use_fast_path(req: Any) -> bool:
    """Only after nginx, which writes the access log and the headers Date and Server, and only if the connection stays
    open."""
    return req.version == (1, 1) and not req.should_close() and not expects_continue(req)


def predict(application: Application, req: Any, sock: Any) -> None:
    """Answers one request for predictions."""
    environ = {"wsgi.input": req.body, "RAW_URI": req.uri, **cgi_variables(req.headers)}
    waited = waited_s(environ)
    if waited > LONG_WAIT_S and client_disconnected(sock):  # the client, or nginx, has given up
        close_connection()
    began = time.monotonic()
    reply = application.invocations.answer(environ, waited)
    # The next request on this connection had better find the worker that is free then.
    engine = application.model.engine
    close = time.monotonic() - began > SLOW_CALL_S or bool(engine and engine.above_latency_threshold)
    lines = [f"HTTP/1.1 {status_line(reply.status)}\r\n"]
    if close:
        lines.append("Connection: close\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in head(reply)]
    if reply.stream:
        send_chunks(sock, lines, reply.stream)
    else:
        lines.append("\r\n")
        sock.sendall("".join(lines).encode("latin-1") + reply.body)
    if close:
        close_connection()


def send_chunks(sock: Any, lines: list[str], stream: Stream) -> None:
    """Sends a body that comes part by part. An error on the way closes the connection without the last chunk: the
    client sees that the body is incomplete."""
    lines.append("Transfer-Encoding: chunked\r\n\r\n")
    try:
        sock.sendall("".join(lines).encode("latin-1"))
        for part in stream:
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        sock.sendall(b"0\r\n\r\n")
    except OSError:  # the client has disconnected
        close_connection()
    except Exception:
        log.exception("an answer has broken off")
        close_connection()
    finally:
        stream.close()


def refusal(error: RequestError) -> bytes:
    """The whole answer to a request that is refused; the connection is closed after it."""
    body = error_body(error.status, error.message)
    headers = (("Connection", "close"), ("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    lines = [f"{name}: {value}\r\n" for name, value in (*headers, *error.headers)]
    return f"HTTP/1.1 {status_line(error.status)}\r\n{''.join(lines)}\r\n".encode("latin-1") + body
