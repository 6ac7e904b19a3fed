"""The context that a user's functions may take: multi-model-server's, with its names and parameters.

Source: https://github.com/awslabs/multi-model-server/blob/master/mms/context.py
As there, one object lives as long as the model: a context kept from `model_fn` shows each later request, and
attributes that a script sets on it stay. A batch holds one request here, so every `idx` means this one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.serving import devices, headers

if TYPE_CHECKING:
    from byo_container.serving.models.servable import Request

MANIFEST = Path("MAR-INF", "MANIFEST.json")
DISTRIBUTION = "byo-container"
CONTENT_TYPE = "content-type"


class RequestHeaders(dict[str, str]):
    """The headers of a request, spelled as by SageMaker. Keys are compared without regard to case."""

    def __missing__(self, key: str) -> str:
        for name, value in self.items():
            if name.lower() == str(key).lower():
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self.get(str(key)) is not None

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default


def alias(name: str) -> Any:
    """Another name for an attribute: scripts also use private names of multi-model-server and TorchServe."""
    return property(lambda self: getattr(self, name), lambda self, value: setattr(self, name, value))


class RequestProcessor:
    """One request, and what a script has set for its answer."""

    __slots__ = ("_phrase", "_reply_headers", "_request", "status")

    _status_code = alias("status")
    _reason_phrase = alias("_phrase")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._phrase = ""
        self._reply_headers: dict[str, Any] | None = None  # until a script sets one: most do not
        self.status: Any = 200

    @property
    def is_plain(self) -> bool:
        """Whether the script has set neither a status nor a header."""
        return self._reply_headers is None and self.status == 200

    def get_request_property(self, key: str) -> str | None:
        return self._request.header(key) or None

    def get_request_properties(self) -> dict[str, str]:
        return RequestHeaders(headers.all_of(self._request.variables))

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self.status = code
        self._phrase = reason_phrase or ""

    def get_response_status_code(self) -> int:
        code: int = self.status
        return code

    def get_response_status_phrase(self) -> str:
        return self._phrase

    def add_response_property(self, key: str, value: Any) -> None:
        self.get_response_headers()[key] = value

    def get_response_headers(self) -> dict[str, Any]:
        if self._reply_headers is None:
            self._reply_headers = {}
        return self._reply_headers

    def get_response_header(self, key: str) -> Any:
        return self.get_response_headers().get(key)

    _request_header = property(get_request_properties)
    _response_header = property(get_response_headers)


class Metrics:
    """Writes each metric of a script to the log."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def add_counter(self, name: str, value: float, idx: Any = None, dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, "count", dimensions)

    def add_time(self, name: str, value: float, idx: Any = None, unit: str = "ms", dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, unit, dimensions)

    def add_size(self, name: str, value: float, idx: Any = None, unit: str = "MB", dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, unit, dimensions)

    def add_percent(self, name: str, value: float, idx: Any = None, dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, "percent", dimensions)

    def add_error(self, name: str, value: Any, dimensions: Any = None) -> None:
        self.add_metric(name, value, dimensions=dimensions)

    def add_metric(
        self, name: str, value: Any, idx: Any = None, unit: str | None = None, dimensions: Any = None
    ) -> None:
        more = "".join(f", {dimension}" for dimension in dimensions or ())
        log.info("metric of %s: %s = %s%s%s", self.model_name, name, value, f" {unit}" if unit else "", more)


class Context:
    """The optional last argument of a script's functions. It shows the request of the calling thread; to threads that
    a script starts itself, the latest request. Outside of requests, as in `model_fn`, there are no headers to read, and
    none to set."""

    _model_name = alias("model_name")
    _manifest = alias("manifest")
    _system_properties = alias("system_properties")
    _metrics = alias("metrics")
    _request_processor = alias("request_processor")
    _request_ids = alias("request_ids")

    def __init__(self, model_dir: Path) -> None:
        """Raises JobError for a manifest that is not JSON."""
        self.model_name = model_dir.name
        self.manifest = _manifest(model_dir / MANIFEST)
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": 0 if devices.visible() else None,  # a worker sees at most one device, as number 0
            "batch_size": 1,
            "server_name": DISTRIBUTION,
            "server_version": _version(),
        }
        self.metrics = Metrics(self.model_name)
        self._here = threading.local()
        self._latest: RequestProcessor | None = None

    def begin(self, request: Request) -> RequestProcessor:
        """This thread begins to work on a request."""
        processor = RequestProcessor(request)
        self._here.processor = self._latest = processor
        return processor

    def resume(self, processor: RequestProcessor) -> None:
        """This thread continues to work on a request, for the next part of its answer."""
        self._here.processor = self._latest = processor

    def end(self) -> None:
        """This thread has finished its work on the request."""
        if self._latest is self._here.processor:
            self._latest = None
        self._here.processor = None

    @property
    def _processor(self) -> RequestProcessor | None:
        return getattr(self._here, "processor", None) or self._latest

    @property
    def request_processor(self) -> list[RequestProcessor] | None:
        processor = self._processor
        return [processor] if processor else None

    @property
    def request_ids(self) -> dict[int, str] | None:
        processor = self._processor
        return {0: processor.get_request_property("X-Request-Id") or ""} if processor else None

    def get_request_id(self, idx: int = 0) -> str | None:
        return (self.request_ids or {}).get(0)

    def get_request_header(self, idx: int, key: str) -> str | None:
        processor = self._processor
        return processor.get_request_property(key) if processor else None

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        processor = self._processor
        return processor.get_request_properties() if processor else RequestHeaders()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, CONTENT_TYPE, value)

    def get_response_content_type(self, idx: int) -> str | None:
        return self.get_response_headers(idx).get(CONTENT_TYPE)

    def get_response_status(self, idx: int) -> tuple[int, str]:
        processor = self._processor
        return (
            (processor.get_response_status_code(), processor.get_response_status_phrase()) if processor else (200, "")
        )

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        if processor := self._processor:
            processor.report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        self.set_response_status(code, phrase)

    def get_response_headers(self, idx: int) -> dict[str, Any]:
        processor = self._processor
        return processor.get_response_headers() if processor else {}

    def set_response_header(self, idx: int, key: str, value: Any) -> None:
        if processor := self._processor:
            processor.add_response_property(key, value)


def _manifest(path: Path) -> Mapping[str, Any] | None:
    """The manifest of a model archive of multi-model-server."""
    try:
        manifest: Mapping[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise JobError(f"{path} is no JSON: {error}") from None
    return manifest


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
