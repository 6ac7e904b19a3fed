"""Serves a user's unchanged inference.py by the conventions of SageMaker's inference toolkits.

It defines any of model_fn, input_fn, predict_fn, output_fn or, in place of the last three, transform_fn. Each may take
one more argument, the context. Source: https://github.com/aws/sagemaker-inference-toolkit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation
from byo_container.container.log import log
from byo_container.serving.codecs import decoding, encoding, media_types, negotiation
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.streaming import Stream
from byo_container.serving.engine.work import Work
from byo_container.serving.models import execution_parameters as batch_transform
from byo_container.serving.models.script import older_pipelines, stand_ins
from byo_container.serving.models.script.context import Context, RequestProcessor
from byo_container.serving.models.script.defaults.choose import imports_of
from byo_container.serving.models.script.defaults.family import Defaults
from byo_container.serving.models.script.defaults.loading import load_model
from byo_container.serving.models.script.functions import (
    explain_thread,
    functions_of,
    import_script,
    provide_event_loop,
)
from byo_container.serving.models.script.replies import Parts, answer, refused
from byo_container.serving.models.servable import Reply, Request, respond_to_message
from byo_container.serving.settings import Settings

# One for all: it is entered for each request.
NO_CONTEXT = nullcontext()
# Bodies of these types, spelled so, reach a user's input_fn as texts; all others as bytes.
TEXT_TYPES = frozenset({media_types.JSON, media_types.CSV})


class ScriptModel:
    """A model behind an inference.py. Its functions get one request at a time, as they expect."""

    batch_policy = BatchPolicy(max_size=1, max_per_turn=32)
    execution_parameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, path: Path | None, model_dir: Path, settings: Settings, module: str = "") -> None:
        self._path = path
        self._module = module  # `package.module`, where it is part of a package
        self._model_dir = model_dir
        self._default_accept = settings.default_accept
        self._functions: dict[str, Callable[..., Any]] = {}
        self._setting = settings.defaults
        self._defaults: Defaults
        self._in_flask = False
        self._imports: frozenset[str] = frozenset()
        self._binary: type[bytes] | type[bytearray] = bytearray

    @property
    def description(self) -> dict[str, Any]:
        return {"script": str(self._path or "none"), "model": str(self._model_dir)}

    def load(self) -> None:
        try:
            self._load()
        except (ValueError, RuntimeError) as error:
            if why := explain_thread(error):
                raise JobError(why) from error
            raise

    def _load(self) -> None:
        if self._path:
            self._import(self._path)
        provide_event_loop()  # the script may have imported asyncio
        self._decodes_itself = bool({"input_fn", "transform_fn"} & self._functions.keys())
        self._encodes_itself = bool({"output_fn", "transform_fn"} & self._functions.keys())
        self._last_function = "transform_fn" if "transform_fn" in self._functions else "output_fn"
        self._check_default_accept()
        self._context = context = Context(self._model_dir)
        folder = str(self._model_dir)
        self._call("pre_model_fn", _nothing, folder, context)
        self._model, self._defaults = load_model(self._functions, self._path, self._model_dir, self._setting, context)
        self._binary = bytes if "sagemaker_containers" in self._imports else self._defaults.binary
        self._call("model_warmup_fn", _nothing, folder, self._model, context)

    def _import(self, path: Path) -> None:
        source = path.read_bytes()
        self._in_flask = bool(re.search(rb"^\s*(from|import)\s+flask\b", source, re.MULTILINE))
        if b"asyncio" in source:  # perhaps a function imports it, and then gets its thread's event loop
            import asyncio  # noqa: F401
        self._imports = imports_of(path)
        stand_ins.provide(self._imports)
        provide_event_loop()
        module = import_script(path, self._module)
        older_pipelines.provide()
        self._functions = functions_of(module, path)
        own = batch_transform.of_script(module)
        self.execution_parameters = batch_transform.checked(own, str(path))

    def _check_default_accept(self) -> None:
        """Raises JobError where every request without an Accept header would be refused."""
        if not self._encodes_itself and media_types.ALIASES.get(self._default_accept, self._default_accept) not in (
            encoding.ENCODERS
        ):
            raise JobError(
                f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {self._default_accept!r}, which only an output_fn in "
                f"{self._path or 'an inference.py'} can write; without one it must be one of "
                f"{', '.join(encoding.ENCODERS)}"
            )

    def respond(self, request: Request, engine: Engine) -> Reply:
        found: Reply | Parts = engine.submit(Work(request), request.waited_s)
        if isinstance(found, Reply):
            return found
        stream = Stream(found.parts, engine, events=found.content_type.partition(";")[0].strip() == EVENTS)
        stream.encode_first()
        return Reply(b"", found.content_type or stream.content_type, found.status, found.headers, stream)

    def converse(self, message: str | bytes, conversation: Conversation, engine: Engine) -> Iterator[Any]:
        return respond_to_message(self, message, conversation, engine)

    def context(self) -> AbstractContextManager[Any]:
        return NO_CONTEXT

    def compute(self, items: list[Request]) -> list[Any]:
        provide_event_loop()
        return [self._outcome(request) for request in items]

    def _outcome(self, request: Request) -> Any:
        processor = self._context.begin(request)
        try:
            if self._in_flask:
                with flask_request(request):
                    return self._transform(request, processor)
            return self._transform(request, processor)
        except BaseException as error:  # whatever it is, the other requests of this turn are not to blame
            if why := explain_thread(error):
                error.add_note(why)
            return refused(error)
        finally:
            self._context.end()

    def _transform(self, request: Request, processor: RequestProcessor) -> Reply | Parts:
        data, content_type = self._payload(request)
        accept = self._accepted_type(request.accept)
        context = self._context
        if "transform_fn" in self._functions:
            returned = self._functions["transform_fn"](self._model, data, content_type, accept, context)
        else:
            value = self._call("input_fn", self._defaults.input_fn, data, content_type, context)
            prediction = self._call("predict_fn", self._defaults.predict_fn, value, self._model, context)
            returned = self._call("output_fn", self._defaults.output_fn, prediction, accept, context)
        found = answer(returned, accept, processor, self._last_function)
        if found.status >= 400:
            log.warning("request %s: %d, set by the script", context.get_request_id() or "-", found.status)
        if isinstance(found, Parts):
            return replace(found, parts=Steps(found.parts, context, processor))
        return found

    def _call(self, name: str, default: Callable[..., Any], *arguments: Any) -> Any:
        return self._functions.get(name, default)(*arguments)

    def _payload(self, request: Request) -> tuple[Any, str]:
        """The body and its media type. A user's function gets them as from the toolkits: the header as it was sent, and
        a text for TEXT_TYPES, else bytes or a bytearray."""
        # Some clients spell the header ContentType.
        sent = request.variables.get("HTTP_CONTENTTYPE") or request.content_type or media_types.JSON
        if not self._decodes_itself:
            return request.body, sent
        media = media_types.content_type(sent)
        if sent in TEXT_TYPES:
            return decoding.decode_text(request.body, media), sent
        return self._binary(request.body), sent

    def _accepted_type(self, accept: str) -> str:
        """The media type that output_fn is to write: for the user's own the client's favorite, for a default one the
        best that it can write."""
        if not self._encodes_itself:
            return self._defaults.answer_type(accept, self._default_accept)
        return negotiation.favorite(accept) or self._default_accept


class Steps(Iterator[Any]):
    """The parts of a streamed answer. While one is computed, the context shows its request."""

    def __init__(self, parts: Iterator[Any], context: Context, processor: RequestProcessor) -> None:
        self._parts = parts
        self._context = context
        self._processor = processor

    def __next__(self) -> Any:
        provide_event_loop()
        self._context.resume(self._processor)
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            refusal = refused(error)
            if refusal is error or not isinstance(refusal, BaseException):
                raise
            raise refusal from error
        finally:
            self._context.end()

    def close(self) -> None:
        getattr(self._parts, "close", _nothing)()


def flask_request(request: Request) -> AbstractContextManager[Any]:
    """Provides `flask.request` to a script that reads it, as it can where the toolkit is a Flask application."""
    variables = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/invocations",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "wsgi.url_scheme": "http",
        **{name: value for name, value in request.variables.items() if isinstance(value, str)},
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": BytesIO(request.body),
    }
    context: AbstractContextManager[Any] = flask_app().request_context(variables)
    return context


@lru_cache(maxsize=1)
def flask_app() -> Any:
    from flask import Flask

    return Flask(__name__)


def _nothing(*_: Any) -> None:
    """For an optional function that the script lacks."""
