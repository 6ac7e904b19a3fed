"""gunicorn's gevent worker, without the patches of the standard library, and with a short way for predictions."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any

import gevent
from gevent import socket
from gunicorn import util
from gunicorn.http.errors import InvalidHeader, ParseException
from gunicorn.http.wsgi import Response, default_environ
from gunicorn.workers.ggevent import GeventWorker

from byo_container.serving.api.app import Application
from byo_container.serving.api.websocket import PATH as WEBSOCKET
from byo_container.serving.errors import RequestError, status_line
from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState, draining, enter, own_state, ready_workers
from byo_container.serving.workers import direct_clients, fast_path
from byo_container.serving.workers.accept import Listener
from byo_container.serving.workers.connections import Connections
from byo_container.serving.workers.protocol_errors import request_error
from byo_container.serving.workers.websockets import WebSockets

# Seconds after which a connection is closed. nginx would keep the connections that it has, and a worker that was
# restarted would never get a request.
CONNECTION_S = 5.0


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves HTTP in greenlets, and leaves Python's own threads, locks and sockets as they are.

    gunicorn's worker patches the whole standard library for gevent. Ours computes in native threads: a model's
    locks and thread pools must stay real ones, and its downloads need no event loop.
    """

    sockets: list[Any]
    wsgi: Application
    server_class = Listener
    # Set by the arbiter before the fork, in hooks.py.
    row: WorkerRow
    rolling: bool
    """Whether it is to take over from another worker."""
    device: int | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections = Connections()
        self._websockets = WebSockets()
        self.wsgi_handler = self.handle  # gunicorn passes it to our Listener

    # --- the life of the process ------------------------------------------------------------------

    def patch(self) -> None:
        """In place of gunicorn's: only the sockets that the worker listens on become gevent's."""
        self.sockets = [socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach()) for s in self.sockets]

    def init_process(self) -> None:
        os.register_at_fork(
            before=self._block_signals, after_in_parent=self._unblock_signals, after_in_child=self._become_copy
        )
        try:
            super().init_process()
        except Exception:
            if not self.booted:
                enter(WorkerState.BROKEN)  # the arbiter does not go by exit statuses
            raise

    def _block_signals(self) -> None:
        """A signal that a copy of this process got before `_become_copy` would be lost."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)

    def _unblock_signals(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)

    def _become_copy(self) -> None:
        """In a copy of this process that a model's code makes by os.fork(). It counts nothing, ends on signals as any
        process does (multiprocessing's Pool ends its children by SIGTERM), and holds no connection open: the clients
        would wait for its end. Another file takes the place of each socket, because the copy's own objects still know
        the descriptors."""
        prometheus.table.unbind()
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._unblock_signals()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for sock in (*self._connections.all(), *self.sockets):
            with suppress(OSError):
                os.dup2(nothing, sock.fileno(), inheritable=False)

    def notify(self) -> None:
        """Once a second. A worker that is to end waits for its connections: idle ones are ended, and WebSockets, which
        could last for hours."""
        super().notify()
        if self._should_leave():
            self.alive = False
        self._connections.abandon_disconnected()
        if not self.alive or draining():  # nginx waits for its connections before gunicorn gets SIGTERM
            self._websockets.end_all()
        if not self.alive:
            self._connections.end_idle()

    def _should_leave(self) -> bool:
        """Whether this worker has to end, with or without a SIGTERM: a model's native code may ignore that signal. A
        worker without a model answers 500, which helps only while no other worker has the model."""
        state = own_state()
        useless = state == WorkerState.FAILED and ready_workers() > 0
        return useless or state == WorkerState.LEAVING or (draining() and self._listens_to_clients())

    def _listens_to_clients(self) -> bool:
        """Without nginx. Behind nginx the sockets are Unix sockets, and nginx takes no more requests for them."""
        return any(sock.family != socket.AF_UNIX for sock in self.sockets)

    # --- requests ---------------------------------------------------------------------------------

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """One connection, from start to end."""
        self._connections.open(client)
        if isinstance(client, direct_clients.Client) and len(self._connections) >= self.worker_connections:
            self._connections.make_room_for(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections.close(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """One request. Raises StopIteration to close the connection after it."""
        age_s = self._connections.begin_request(sock)
        if age_s > CONNECTION_S:
            req.force_close()  # the answer announces it, so that nothing is sent into a closed connection
        try:
            if isinstance(sock, direct_clients.Client):
                self._handle_direct(listener_name, req, sock, addr)
            elif self._is_invocation(req) and self.alive and fast_path.can_use_fast_path(req):
                fast_path.predict(self.wsgi, req, sock)
            elif req.uri.partition("?")[0] == WEBSOCKET:
                self._websockets.serve(self.wsgi, req, sock)
            else:
                self._handle_by_flask(listener_name, req, sock, addr)
        finally:
            self._connections.end_request(sock)

    def _handle_direct(self, listener_name: Any, req: Any, sock: direct_clients.Client, addr: Any) -> None:
        """A request without nginx in between."""
        try:
            direct_clients.admit(req, self.wsgi.max_payload)
        except RequestError as error:
            prometheus.count(error.status)
            sock.sendall(fast_path.refusal(error))
            fast_path.close_connection()
        if req.uri.partition("?")[0] == WEBSOCKET:
            self._websockets.serve(self.wsgi, req, sock)
        sock.settimeout(direct_clients.PATIENCE_S)
        if self._is_invocation(req):
            self._connections.begin_prediction(sock)
        try:
            self._handle_by_flask(listener_name, req, sock, addr)
        finally:
            self._connections.end_prediction(sock)
            sock.settimeout(None)

    def _handle_by_flask(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        super().handle_request(listener_name, req, sock, addr)
        gevent.sleep(0)  # a client that sends requests without a pause never waits for anything by itself

    def _is_invocation(self, req: Any) -> bool:
        return req.method == "POST" and self.wsgi.is_invocation(req.uri)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """In place of gunicorn's: answers a request that cannot be read in the shape of all other errors."""
        if isinstance(exc, ParseException):
            self.log.warning("Invalid request from ip=%s: %s", addr[0] if addr else "", exc)
        else:
            self.log.error("Error handling request %s", getattr(req, "uri", "(not read)"), exc_info=exc)
        error = request_error(exc)
        prometheus.count(error.status)
        with suppress(Exception):
            util.write_nonblock(client, fast_path.refusal(error))
        if not req and isinstance(exc, InvalidHeader):
            req = exc.req
        if req:
            response = Response(req, client, self.cfg)
            response.status = status_line(error.status)
            environ = default_environ(req, client, self.cfg) | {"REMOTE_ADDR": addr[0] if addr else ""}
            self.log.access(response, req, environ, timedelta())
