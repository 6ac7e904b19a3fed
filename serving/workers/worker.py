"""gunicorn's gevent worker, without the part that we must not have, and with a short way for predictions."""

from __future__ import annotations

import os
import signal
import socket as native
import time
from contextlib import suppress
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gunicorn import util
from gunicorn.workers.ggevent import GeventWorker

from byo_container.container.log import log
from byo_container.serving.api.app import CONVERSE, ENGINE, INVOCATIONS, LIMIT, MANY
from byo_container.serving.api.bidirectional import CONVERSATIONS, Talk
from byo_container.serving.api.bidirectional import PATH as WEBSOCKET
from byo_container.serving.api.websocket import handshake
from byo_container.serving.engine.engine import abandoned
from byo_container.serving.engine.streaming import Stream
from byo_container.serving.engine.threads import SLOW_CALL_S
from byo_container.serving.errors import RequestError, error_body, phrase
from byo_container.serving.headers import cgi_variables, look_up
from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.worker_state import WorkerState, draining, enter, own_state, ready_workers
from byo_container.serving.workers import direct_clients
from byo_container.serving.workers.accept import Listener

# nginx would stay with the connections that it has: a worker that comes back would never get a request.
CONNECTION_S = 5.0


# A request that has waited for longer may have nobody left who waits for its answer.
LONG_S = 1.0


def gone(sock: Any) -> bool:
    """Whether the other end has closed the connection. Asks by a socket that gevent does not know, without waiting."""
    with native.socket(fileno=os.dup(sock.fileno())) as twin:
        try:
            return twin.recv(1, native.MSG_PEEK | native.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def end_reading(sock: Any) -> None:
    """No more is read from a connection, but for what has arrived already: its greenlet sees its end. By a socket that
    gevent does not know: it would raise in the greenlet that waits for the client."""
    with suppress(OSError), native.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.shutdown(native.SHUT_RD)


def write_error(sock: Any, status: int, reason: str, message: str) -> None:
    """gunicorn's own errors, for requests that it refuses to read, in the same shape as the application's."""
    prometheus.count(status)
    body = error_body(status, message or "the server failed; its log says why")
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)


util.write_error = write_error


def send_chunks(sock: Any, head: list[str], stream: Stream) -> None:
    """An answer whose parts come one by one. An error on the way closes the connection without the last chunk, by which
    the client sees that the answer is not whole."""
    head.insert(-1, "Transfer-Encoding: chunked\r\n")
    try:
        sock.sendall("".join(head).encode("latin-1"))
        for part in stream:
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        sock.sendall(b"0\r\n\r\n")
    except OSError:  # the client has gone
        raise StopIteration from None
    except Exception:
        log.exception("an answer has broken off")
        raise StopIteration from None
    finally:
        stream.close()


def refusal(error: RequestError) -> bytes:
    """The whole answer to a request that is refused."""
    body = error_body(error.status, error.message)
    headers = (("Connection", "close"), ("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    lines = [f"{name}: {value}\r\n" for name, value in (*headers, *error.headers)]
    return f"HTTP/1.1 {error.status} {phrase(error.status)}\r\n{''.join(lines)}\r\n".encode("latin-1") + body


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves HTTP in greenlets, and leaves Python's own threads, locks and sockets as they are.

    gunicorn's worker patches the whole standard library for gevent. Ours computes in native threads: a model's
    locks and thread pools must stay real ones, and its downloads need no event loop.
    """

    sockets: list[Any]
    server_class = Listener

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opened: dict[Any, float] = {}  # connections, and when they were made
        self._idle: dict[Any, None] = {}  # those without a request at the moment, longest first
        self._asked: dict[Any, tuple[float, Any]] = {}  # those that wait for a prediction: since when, and who for them
        self._talks: set[Talk] = set()
        self._behind_nginx = all(isinstance(sock.getsockname(), str) for sock in self.sockets)
        self.wsgi_handler = self.handle  # gunicorn hands it to our Listener

    def patch(self) -> None:
        self.sockets = [socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach()) for s in self.sockets]

    def init_process(self) -> None:
        # Signals wait meanwhile: one that a new copy gets before it has let go would be lost.
        block, unblock = (
            partial(signal.pthread_sigmask, how, self.SIGNALS) for how in (signal.SIG_BLOCK, signal.SIG_UNBLOCK)
        )
        os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=self._let_go)
        try:
            super().init_process()
        except Exception:
            if not self.booted:
                enter(WorkerState.BROKEN)  # for the arbiter, to which an exit status says nothing
            raise

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        self._opened[client] = time.monotonic()
        self._idle[client] = None
        if isinstance(client, direct_clients.Client) and len(self._opened) >= self.worker_connections:
            oldest = next(iter(self._idle))  # nobody else could connect until it says something
            if oldest is not client:
                end_reading(oldest)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.pop(client, None)
            del self._opened[client]

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self._idle.pop(sock, None)
        if time.monotonic() - self._opened[sock] > CONNECTION_S:
            req.force_close()  # said in the answer, so that nothing is sent into a closed connection
        try:
            if isinstance(sock, direct_clients.Client):
                self._handle_direct(listener_name, req, sock, addr)
            elif req.method == "POST" and self._is_invocation(req.uri) and self._may_shorten(listener_name, req):
                self._predict(req, sock)
            elif req.uri.partition("?")[0] == WEBSOCKET:
                self._talk(req, sock)
            else:
                super().handle_request(listener_name, req, sock, addr)
                gevent.sleep(0)  # whoever sends requests without a pause never waits for anything by itself
        finally:
            self._idle[sock] = None

    def _let_go(self) -> None:
        """In a copy of this process that a model's code makes by os.fork(). It counts nothing, ends on signals as any
        process does (multiprocessing's Pool ends its children by SIGTERM), and holds no connection open: the clients
        would wait for its end. (Closed by another file in their place, for the copy's own objects still know their
        numbers.)"""
        prometheus.table.unbind()
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for sock in (*self._opened, *self.sockets):
            with suppress(OSError):
                os.dup2(nothing, sock.fileno(), inheritable=False)

    def _handle_direct(self, listener_name: Any, req: Any, sock: direct_clients.Client, addr: Any) -> None:
        """A request without nginx in between."""
        try:
            direct_clients.admit(req, self.wsgi.extensions[LIMIT])
        except RequestError as error:
            prometheus.count(error.status)
            sock.sendall(refusal(error))
            raise StopIteration from None
        if req.uri.partition("?")[0] == WEBSOCKET:
            self._talk(req, sock)
        sock.settimeout(direct_clients.PATIENCE_S)
        greenlet = gevent.getcurrent()
        if req.method == "POST" and self._is_invocation(req.uri):
            self._asked[sock] = (time.monotonic(), greenlet)
        try:
            super().handle_request(listener_name, req, sock, addr)
            gevent.sleep(0)  # as above
        finally:
            self._asked.pop(sock, None)
            abandoned.discard(greenlet)
            sock.settimeout(None)

    def _is_invocation(self, uri: str) -> bool:
        if self.wsgi.extensions[MANY]:
            return uri.startswith("/models/") and uri.endswith("/invoke")
        return uri == "/invocations"

    def _may_shorten(self, listener_name: Any, req: Any) -> bool:
        """Behind nginx (a Unix socket's name is a text), which writes the access log and the headers Date and
        Server, and only for a request after which the connection stays."""
        return (
            isinstance(listener_name, str)
            and self.alive
            and req.version == (1, 1)
            and not req.should_close()
            and not req._expected_100_continue
        )

    def _predict(self, req: Any, sock: Any) -> None:
        """The short way of POST /invocations: no Flask, no more of WSGI than the function reads, and head and body
        in one write. It takes two thirds of the processor's time that the long way takes."""
        head: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            head.append(f"HTTP/1.1 {status}\r\n")
            head.extend([f"{name}: {value}\r\n" for name, value in headers])
            head.append("\r\n")

        environ = {"wsgi.input": req.body, "RAW_URI": req.uri, **cgi_variables(req.headers)}
        since = environ.get("HTTP_X_REQUEST_START")
        if since and time.time() - float(since) > LONG_S and gone(sock):
            raise StopIteration  # its client, or nginx, has given up: nothing is computed for nobody
        start = time.monotonic()
        body = self.wsgi.extensions[INVOCATIONS](environ, start_response)
        slow = time.monotonic() - start > SLOW_CALL_S or self.wsgi.extensions[ENGINE].above_latency_threshold
        if slow:  # the next one on this connection had better find the worker that is free then
            head.insert(1, "Connection: close\r\n")
        if isinstance(body, Stream):
            send_chunks(sock, head, body)
        else:
            sock.sendall("".join(head).encode("latin-1") + b"".join(body))
        if slow:
            raise StopIteration  # as gunicorn ends a connection

    def _talk(self, req: Any, sock: Any) -> None:
        """A WebSocket, from the request that opens it to its end."""
        variables = cgi_variables(req.headers)
        header = partial(look_up, variables)

        try:
            if self.wsgi.extensions[MANY]:  # no contract says which of them a conversation would mean
                raise RequestError(404, "a server of many models has no conversations; POST /models/NAME/invoke")
            opening = handshake(req.method, header)
            if len(self._talks) >= CONVERSATIONS:
                raise RequestError(503, "too many conversations are open; try again", (("Retry-After", "5"),))
            answer = self.wsgi.extensions[CONVERSE]
        except RequestError as error:
            sock.sendall(refusal(error))
            raise StopIteration from None
        sock.sendall(opening)
        talk = Talk(sock, req.unreader.take_buffered(), answer, header, self.wsgi.extensions[LIMIT])
        self._talks.add(talk)
        try:
            talk.run()
        finally:
            self._talks.discard(talk)
        raise StopIteration

    def _should_leave(self) -> bool:
        """Whether this worker ends, told by SIGTERM or not: a model's native code may have the process ignore it. One
        without a model answers 500, which helps only while no other worker has the model."""
        state = own_state()
        useless = state == WorkerState.FAILED and ready_workers() > 0
        return useless or state == WorkerState.LEAVING or (not self._behind_nginx and draining())

    def notify(self) -> None:
        """Once a second. A worker that is to end waits for its connections, and an idle one would keep it for as
        long as it may: no more is read from those, but for a request that has arrived already."""
        super().notify()
        if self._should_leave():
            self.alive = False
        late = time.monotonic() - LONG_S
        abandoned.update(who for sock, (since, who) in self._asked.items() if since < late and gone(sock))
        # nginx waits for its connections first: whoever talks on one of them for hours has to be told before.
        if self._talks and (not self.alive or draining()):
            for talk in self._talks:
                talk.leave()
        if not self.alive:
            for client in self._idle:
                end_reading(client)
