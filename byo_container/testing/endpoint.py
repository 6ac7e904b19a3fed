"""An endpoint in the process of a test: a model behind the application that `serve` runs in each worker."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import gevent
from werkzeug.datastructures import Headers
from werkzeug.test import Client, TestResponse

from byo_container.container.discovery import HandlerReference, put_on_path
from byo_container.container.failure import JobError
from byo_container.container.handler import PREFIX, Conversation
from byo_container.serving.api.app import create_app
from byo_container.serving.api.bidirectional import sendable
from byo_container.serving.errors import error_body, known_error
from byo_container.serving.models import sessions
from byo_container.serving.models.handler.model import HandlerModel
from byo_container.serving.models.model_server import ModelServer
from byo_container.serving.models.script.model import ScriptModel
from byo_container.serving.models.servable import Servable
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings
from byo_container.testing import payloads
from byo_container.testing.payloads import Payload

CLOSE_S = 5.0
POLL_S = 0.002


@dataclass(frozen=True)
class GivenClass(HandlerReference):
    """A handler class that need not be importable by a name, such as one inside a test."""

    handler_class: type[Any]

    def load(self) -> type[Any]:
        return self.handler_class


@dataclass(frozen=True)
class Answer:
    """The response to a request."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = field(repr=False)
    """Looked up in any case: `answer.headers["x-request-id"]`."""
    parts: list[bytes] = field(repr=False)
    """The body in the parts in which it was sent: several for a stream."""

    @property
    def text(self) -> str:
        """The body as a text."""
        return self.body.decode()

    @property
    def value(self) -> Any:
        """The body by its media type: the value of JSON, the list of JSON lines, the rows of CSV as lists of texts, an
        npy array, a text, or else bytes."""
        kind = self.content_type.partition(";")[0].strip().lower()
        if kind == "application/json":
            return json.loads(self.body)
        if kind == "application/jsonlines":
            return [json.loads(line) for line in self.body.splitlines()]
        if kind == "text/csv":
            return list(csv.reader(io.StringIO(self.text)))
        if kind == "application/x-npy":
            import numpy as np

            return np.load(io.BytesIO(self.body), allow_pickle=False)
        return self.text if kind.startswith("text/") else self.body

    @property
    def error(self) -> str:
        """The message of an error; "" for a prediction."""
        return str(self.value["message"]) if self.status >= 400 else ""

    @property
    def session_id(self) -> str:
        """The session that this request opened; "" without one."""
        return self.headers.get(f"{PREFIX}New-Session-Id", "").partition(";")[0]

    @property
    def custom_attributes(self) -> str:
        """The custom attributes that the model sent back; "" without any."""
        return self.headers.get(f"{PREFIX}Custom-Attributes", "")


class Endpoint:
    """A handler class, loaded from `model_dir`, and requests to it. A context manager:

        with Endpoint(Shout, model_dir) as endpoint:
            answer = endpoint.json("hello")
            assert (answer.status, answer.value) == (200, "HELLO!")

    `environ` are variables as `serve` reads them, such as {"MODEL_SERVER_BATCH_SIZE": "4"}. Entering it raises JobError
    if the model cannot be loaded; the log has the traceback. Use it in the thread that entered it.
    """

    def __init__(
        self,
        handler_class: type[Any],
        model_dir: Path | str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = Settings.from_environment({"MODEL_SERVER_WORKERS": "1", **(environ or {})})
        self._resources = ExitStack()
        self._model_dir = Path(model_dir or self._empty_folder())
        self._servable = self._servable_of(handler_class, self._model_dir)

    def _servable_of(self, model: Any, model_dir: Path) -> Servable:
        name = f"{model.__module__}:{model.__qualname__}"
        return HandlerModel(GivenClass(name, "the test", model), model_dir, self._settings)

    def __enter__(self) -> Endpoint:
        run = RunFolder(self._empty_folder())
        self._resources.enter_context(mock.patch.dict(os.environ, run.environment))
        sessions.of_this_run.cache_clear()  # those of an earlier endpoint have gone with its folder
        self._model = ModelServer(lambda: self._servable, self._model_dir, self._settings)
        self._resources.callback(self._model.engine.close, CLOSE_S)
        while not self._model.load_finished:
            gevent.sleep(POLL_S)
        if self._model.failure:
            self._resources.close()
            raise JobError(f"the model cannot be loaded: {self._model.failure}")
        self._client = Client(create_app(self._model, self._settings), use_cookies=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _empty_folder(self) -> Path:
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="byo-container-test-")))

    # --- requests, by their media type ------------------------------------------------------------

    def json(self, value: Any, **options: Any) -> Answer:
        """Sends one JSON value; the options are those of `send`."""
        return self.send(payloads.json(value), **options)

    def json_lines(self, values: list[Any], **options: Any) -> Answer:
        """Sends a JSON value a line."""
        return self.send(payloads.json_lines(values), **options)

    def csv(self, rows: Any, **options: Any) -> Answer:
        """Sends rows of cells, or one row."""
        return self.send(payloads.csv(rows), **options)

    def npy(self, array: Any, **options: Any) -> Answer:
        """Sends a NumPy array."""
        return self.send(payloads.npy(array), **options)

    def text(self, lines: str, **options: Any) -> Answer:
        """Sends a text, each line of which is an input."""
        return self.send(payloads.text(lines), **options)

    def raw(self, body: bytes, content_type: str = "application/octet-stream", **options: Any) -> Answer:
        """Sends bytes of any type."""
        return self.send(payloads.raw(body, content_type), **options)

    def send(self, payload: Payload, **options: Any) -> Answer:
        """POST /invocations. Options: `accept`; `session`, which is NEW_SESSION or the id of a session;
        `custom_attributes`; `headers`, a dict of any others."""
        response = self._open(payload, **options)
        try:
            parts = list(response.iter_encoded())
        finally:
            response.close()
        return Answer(response.status_code, response.content_type or "", b"".join(parts), response.headers, parts)

    def send_together(self, requests: list[Payload], **options: Any) -> list[Answer]:
        """Sends several requests at the same time, so that they can be predicted in one batch; the answers in order."""
        greenlets = [gevent.spawn(self.send, payload, **options) for payload in requests]
        gevent.joinall(greenlets, raise_error=True)
        return [greenlet.value for greenlet in greenlets]

    def stream(self, payload: Payload, **options: Any) -> Iterator[bytes]:
        """The parts of an answer as they are computed; the options are those of `send`. Closing the iterator is
        a client that goes away."""
        response = self._open(payload, **options)
        try:
            yield from response.iter_encoded()
        finally:
            response.close()

    def _open(
        self,
        payload: Payload,
        *,
        accept: str = "",
        session: str = "",
        custom_attributes: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        known = {"Accept": accept, f"{PREFIX}Session-Id": session, f"{PREFIX}Custom-Attributes": custom_attributes}
        sent = {**{name: value for name, value in known.items() if value}, **(headers or {})}
        return self._client.open(
            "/invocations", method="POST", data=payload.body, content_type=payload.content_type, headers=sent
        )

    # --- other routes -----------------------------------------------------------------------------

    def ping(self) -> int:
        """The status of GET /ping."""
        return self._client.get("/ping").status_code

    def execution_parameters(self) -> Any:
        """The answer of GET /execution-parameters, which batch transform asks for."""
        return self._client.get("/execution-parameters").get_json()

    def conversation(self, headers: Mapping[str, str] | None = None) -> ConversationClient:
        """Opens a WebSocket's conversation, without the socket; `headers` are those of the opening request."""
        return ConversationClient(self._model, headers or {})


class ConversationClient:
    """The client's side of a conversation."""

    def __init__(self, model: ModelServer, headers: Mapping[str, str]) -> None:
        self._model = model
        self._conversation = Conversation(lambda name: Headers(dict(headers)).get(name, ""))

    def send(self, message: str | bytes) -> list[str | bytes]:
        """Sends a message, and returns those that answer it. What fails is a JSON text: {"code": 400, …}."""
        answers: list[str | bytes] = []
        try:
            for value in self._model.converse(message, self._conversation):
                answers.append(sendable(value))
        except Exception as error:
            known = known_error(error, "-")
            answers.append(error_body(known.status, known.message).decode())
        return answers


class ScriptEndpoint(Endpoint):
    """The same for an inference.py."""

    def _servable_of(self, model: Any, model_dir: Path) -> Servable:
        put_on_path([model.parent])
        return ScriptModel(model, model_dir, self._settings)


def endpoint_of_script(
    path: Path | str, model_dir: Path | str | None = None, environ: Mapping[str, str] | None = None
) -> Endpoint:
    """An Endpoint for an inference.py with any of model_fn, input_fn, predict_fn, output_fn and transform_fn."""
    return ScriptEndpoint(Path(path), model_dir, environ)  # type: ignore[arg-type]
