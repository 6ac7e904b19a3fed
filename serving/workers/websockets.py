"""The WebSockets of one worker, each from the request that opens it to its end."""

from __future__ import annotations

from functools import partial
from typing import Any

from byo_container.serving.api.app import Application
from byo_container.serving.api.bidirectional import MAX_SESSIONS, WebSocketSession
from byo_container.serving.api.websocket import handshake
from byo_container.serving.errors import RequestError
from byo_container.serving.headers import cgi_variables, look_up
from byo_container.serving.workers.fast_path import buffered_bytes, close_connection, refusal


class WebSockets:
    """The sessions that are open."""

    def __init__(self) -> None:
        self._sessions: set[WebSocketSession] = set()

    def serve(self, application: Application, req: Any, sock: Any) -> None:
        """Opens a WebSocket and stays with it to its end, which is also that of the connection."""
        header = partial(look_up, cgi_variables(req.headers))
        model = application.conversations
        try:
            if model is None:
                raise RequestError(404, "a server of many models has no conversations; POST /models/NAME/invoke")
            opening = handshake(req.method, header)
            if len(self._sessions) >= MAX_SESSIONS:
                raise RequestError(503, "too many conversations are open; try again", (("Retry-After", "5"),))
        except RequestError as error:
            sock.sendall(refusal(error))
            close_connection()
        session = WebSocketSession(sock, buffered_bytes(req), model, header, application.max_payload)
        self._sessions.add(session)
        try:
            sock.sendall(opening)
            session.run()
        finally:
            self._sessions.discard(session)
        close_connection()

    def end_all(self) -> None:
        """Ends each session after the answer that is under way."""
        for session in self._sessions:
            session.leave()
