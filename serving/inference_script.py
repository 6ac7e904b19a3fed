"""A user's inference.py, by the conventions of SageMaker's inference toolkits, unchanged.

It defines any of model_fn, input_fn, predict_fn, output_fn or, in place of the last three, transform_fn; each may
take one more argument, the context. Source: https://github.com/aws/sagemaker-inference-toolkit
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from container.failure import JobError
from container.handler import Conversation
from serving import batch_transform, codecs, isolation
from serving.devices import VARIABLE
from serving.errors import RequestError
from serving.models import Reply, Request, as_request
from serving.settings import Settings
from serving.streaming import EVENTS, Stream, accepted, is_stream
from serving.waiting import Batching

# How many arguments each function takes before the context.
ARGUMENTS = {
    "model_fn": 1,
    "pre_model_fn": 1,  # before it
    "model_warmup_fn": 2,  # after it, before the first request
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}
TEXT_TYPES = frozenset({codecs.JSON, codecs.CSV})


@dataclass
class Context:
    """The optional last argument of a user's functions, with multi-model-server's names."""

    system_properties: dict[str, Any]
    header: Callable[[str], str] = field(default=lambda name: "")
    variables: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    content_type: str = ""
    reply_headers: dict[str, str] = field(default_factory=dict)

    def get_request_header(self, index: int, name: str) -> str | None:
        return self.header(name) or None

    def get_all_request_header(self, index: int) -> dict[str, str]:
        found = {name.removeprefix("HTTP_"): value for name, value in self.variables.items() if name.isupper()}
        return {
            name.replace("_", "-").title(): value
            for name, value in found.items()
            if f"HTTP_{name}" in self.variables or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }

    def get_request_id(self, index: int = 0) -> str:
        return self.header("X-Request-Id")

    def set_response_header(self, index: int, key: str, value: str) -> None:
        self.reply_headers[key] = value

    def get_response_headers(self, index: int) -> dict[str, str]:
        return self.reply_headers

    def set_response_content_type(self, index: int, value: str) -> None:
        self.content_type = value

    def set_response_status(self, code: int = 200, phrase: str = "", index: int = 0) -> None:
        self.status = code


class ScriptModel:
    """A model behind an inference.py. Its functions see one request at a time, as they expect."""

    batching = Batching(size=1, turn=32)
    execution_parameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, path: Path, model_dir: Path, settings: Settings) -> None:
        self._path = path
        self._model_dir = model_dir
        self._default_accept = settings.default_accept
        self._functions: dict[str, Callable[..., Any]] = {}

    @property
    def description(self) -> dict[str, Any]:
        return {"script": str(self._path), "model": str(self._model_dir)}

    def load(self) -> None:
        module = import_file(self._path)
        self._functions = functions_of(module, self._path)
        own = getattr(module, "execution_parameters", {})
        self.execution_parameters = batch_transform.checked(own, str(self._path))
        if "model_fn" not in self._functions:
            raise JobError(f"{self._path} must define model_fn(model_dir), which loads the model")
        context, folder = self._context(), str(self._model_dir)
        self._call("pre_model_fn", _nothing, folder, context)
        self._model = self._functions["model_fn"](folder, context)
        self._call("model_warmup_fn", _nothing, folder, self._model, context)
        if not {"predict_fn", "transform_fn"} & self._functions.keys() and not callable(self._model):
            raise JobError(f"{self._path} must define predict_fn(data, model): the model cannot be called itself")

    def _context(self, request: Request | None = None) -> Context:
        properties = {"model_dir": str(self._model_dir), "gpu_id": 0 if os.environ.get(VARIABLE) else None}
        return Context(properties, request.header, request.variables) if request else Context(properties)

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        reply: Reply
        reply, parts = submit(request)
        if parts is None:
            return reply
        stream = Stream(parts, submit, events=reply.content_type == EVENTS)
        return replace(reply, stream=stream, content_type=reply.content_type or stream.content_type)

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        return as_request(self.respond, message, conversation, submit)

    def compute(self, items: list[Request]) -> list[Any]:
        return [self._outcome(request) for request in items]

    def _outcome(self, request: Request) -> Any:
        try:
            return self._transform(request)
        except (Exception, SystemExit) as error:
            status = getattr(error, "status_code", None)
            # The toolkits' own errors carry a status; so may a user's.
            if isinstance(status, int) and 400 <= status < 600:
                return RequestError(status, str(error))
            return error

    def _transform(self, request: Request) -> tuple[Reply, Iterator[Any] | None]:
        """The answer, with its parts where it comes in such."""
        media = codecs.content_type(request.content_type)
        # The client's own word for it: a user's function may ask for application/x-ndjson by this very name.
        content_type = request.content_type.partition(";")[0].strip().lower() or media.name
        accept = self._wanted(request.accept)
        context = self._context(request)
        data = codecs.decode_text(request.body, media) if media.name in TEXT_TYPES else request.body
        if "transform_fn" in self._functions:
            answer = self._functions["transform_fn"](self._model, data, content_type, accept, context)
        else:
            value = self._call("input_fn", default_input, data, content_type, context)
            prediction = self._call("predict_fn", default_predict, value, self._model, context)
            answer = self._call("output_fn", default_output, prediction, accept, context)
        return _reply(answer, accept, context)

    def _call(self, name: str, default: Callable[..., Any], *arguments: Any) -> Any:
        return self._functions.get(name, default)(*arguments)

    def _wanted(self, accept: str) -> str:
        """The one media type that a user's output_fn is asked for: the client's favourite. Without one, the best
        that our default can write."""
        if not {"output_fn", "transform_fn"} & self._functions.keys():
            return accepted(accept, self._default_accept)
        favourite = next(iter(codecs.preferences(accept)), accept)
        return self._default_accept if favourite in ("*/*", "*") else favourite


def import_file(path: Path) -> ModuleType:
    """A module from a file, under the file's own name."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise JobError(f"{path} is no Python file; SAGEMAKER_PROGRAM should name one, such as inference.py")
    module = importlib.util.module_from_spec(spec)
    with isolation.importing(name):
        sys.modules[name] = module  # so that its dataclasses and pickles find it
        spec.loader.exec_module(module)
    return module


def functions_of(module: ModuleType, path: Path) -> dict[str, Callable[..., Any]]:
    """The functions that a module defines, each made to take the context. Raises JobError."""
    found = {name: getattr(module, name) for name in ARGUMENTS if callable(getattr(module, name, None))}
    if not found:
        raise JobError(f"{path} defines none of {', '.join(ARGUMENTS)}")
    parts = sorted({"input_fn", "predict_fn", "output_fn"} & found.keys())
    if "transform_fn" in found and parts:
        raise JobError(f"{path} defines transform_fn, which takes the place of {', '.join(parts)}: leave one out")
    return {name: _with_context(function, name, path) for name, function in found.items()}


def _with_context(function: Callable[..., Any], name: str, path: Path) -> Callable[..., Any]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(p.kind in kinds for p in inspect.signature(function).parameters.values())
    wanted = ARGUMENTS[name]
    if count == wanted + 1:
        return function
    if count == wanted:
        return lambda *arguments: function(*arguments[:wanted])
    raise JobError(f"{path}: {name} takes {count} arguments; it must take {wanted}, or {wanted + 1} with context")


def default_input(data: Any, content_type: str, context: Context) -> Any:
    """A NumPy array from JSON, CSV or npy, as the toolkits make it."""
    numpy = codecs.import_numpy(415)
    body = data.encode() if isinstance(data, str) else data
    media = codecs.content_type(content_type)
    values, many = codecs.decode(body, media)
    try:
        if media.name == codecs.CSV:
            return numpy.array([[float(cell) for cell in row] for row in values]).squeeze()
        return numpy.array(values if many else values[0])
    except ValueError as error:
        raise RequestError(400, f"the body is no array of numbers: {error}") from None


def default_predict(data: Any, model: Any, context: Context) -> Any:
    """Calls the model itself, without gradients where it is PyTorch's."""
    torch = sys.modules.get("torch")
    with torch.inference_mode() if torch else nullcontext():
        return model(data)


def default_output(prediction: Any, accept: str, context: Context) -> tuple[Any, str]:
    """The prediction in the media type that the client asked for. One that is yielded comes as its parts are."""
    if is_stream(prediction) or accept == EVENTS:
        return prediction if is_stream(prediction) else iter([prediction]), EVENTS if accept == EVENTS else ""
    name = codecs.accepted(accept, codecs.JSON)
    return codecs.encode([prediction], False, name), name


def _reply(answer: Any, accept: str, context: Context) -> tuple[Reply, Iterator[Any] | None]:
    """What output_fn or transform_fn returned: a body, or a body and its media type. One that is yielded is sent part
    by part."""
    body, name = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, accept)
    parts = body if is_stream(body) else None
    if isinstance(body, str):
        body = body.encode()
    if parts is None and not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"output_fn returned {type(body).__name__}; it must return text, bytes, or (body, type)")
    name = context.content_type or name
    if not isinstance(name, str) or not name.isprintable():
        raise TypeError(f"output_fn returned {name!r} for the media type; it must be a text such as {codecs.JSON}")
    if context.status not in range(200, 600):
        raise ValueError(f"set_response_status({context.status!r}): a status is a number from 200 to 599")
    headers = tuple((str(key), str(value)) for key, value in context.reply_headers.items())
    if not all(text.isascii() and text.isprintable() for header in headers for text in header):
        raise ValueError(f"set_response_header: a header is printable ASCII, unlike one of {context.reply_headers}")
    return Reply(b"" if parts else bytes(body), name, context.status, headers), parts


def _nothing(*_: Any) -> None:
    """For a function that need not be there."""
