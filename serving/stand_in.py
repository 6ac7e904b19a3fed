"""`sagemaker_containers.beta.framework` for an inference.py that imports it, where the package itself cannot be.

The package needs Python 3.9 or older and a Flask of 2019, so no image of ours can have it. Scripts for the containers
of scikit-learn and XGBoost import a few names of it. Those are here; any other says on use that it is not.
Source of what they do: https://github.com/aws/sagemaker-containers/tree/master/src/sagemaker_containers
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from container.log import log

PACKAGE = "sagemaker_containers"
XGBOOST = "sagemaker_xgboost_container"
FRAMEWORK = f"{PACKAGE}.beta.framework"
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
MODULES = ("content_types", "encoders", "errors", "worker")
OTHERS = ("env", "files", "functions", "logging", "mapping", "modules", "params", "server", "transformer")


def provide() -> None:
    """Makes the package importable, unless the real one is."""
    try:
        __import__(FRAMEWORK)
        return
    except Exception:  # what is installed for another Python fails in many ways
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
    log.info("%s cannot be imported; byo-container stands in for its %s", PACKAGE, ", ".join(MODULES))
    for name in (PACKAGE, f"{PACKAGE}.beta", FRAMEWORK):
        _module(name)
    content_types = {"JSON": JSON, "CSV": CSV, "NPY": NPY, "OCTET_STREAM": "application/octet-stream", "ANY": "*/*"}
    _module(f"{FRAMEWORK}.content_types", **content_types, UTF8_TYPES=[JSON, CSV])
    errors = {"ClientError": ClientError, "UnsupportedFormatError": UnsupportedFormatError}
    _module(f"{FRAMEWORK}.errors", **errors)
    _module(f"{FRAMEWORK}.encoders", encode=encode, decode=decode, **CONVERTERS)
    _module(f"{FRAMEWORK}.worker", Response=_response())
    for name in OTHERS:
        _module(f"{FRAMEWORK}.{name}")


def provide_xgboost() -> None:
    """Makes `sagemaker_xgboost_container.encoder` importable, unless the real one is: by it the scripts for XGBoost's
    container read CSV and libsvm in their input_fn. It is on no index of packages.
    Source: https://github.com/aws/sagemaker-xgboost-container/blob/master/src/sagemaker_xgboost_container/encoder.py"""
    try:
        __import__(f"{XGBOOST}.encoder")
        return
    except ImportError:
        log.info("%s cannot be imported; byo-container stands in for its encoder", XGBOOST)
    from serving.script_defaults import formats, xgboost

    def reads(content_type: str) -> Callable[..., Any]:
        return lambda data, dtype=None: xgboost.input_fn(data, content_type, None)

    _module(XGBOOST)
    _module(
        f"{XGBOOST}.encoder",
        csv_to_dmatrix=reads(CSV),
        libsvm_to_dmatrix=reads(formats.LIBSVM),
        recordio_protobuf_to_dmatrix=reads(formats.RECORDIO),
        decode=lambda data, content_type: xgboost.input_fn(data, content_type, None),
    )


def _module(name: str, **content: Any) -> None:
    module = ModuleType(name, f"byo-container's stand-in for {name}")
    module.__path__ = []  # so that an import looks below it
    module.__dict__.update(content, __getattr__=_missing(name, tuple(content) or MODULES))
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


def _missing(name: str, known: Sequence[str]) -> Callable[[str], Any]:
    def missing(attribute: str) -> Any:
        package = name.partition(".")[0]
        raise AttributeError(
            f"{name}.{attribute} is no part of byo-container's stand-in for {package}, which has {', '.join(known)}"
        )

    return missing


class ClientError(Exception):
    """What a user's code did wrong."""


class UnsupportedFormatError(Exception):
    """There is no encoder, or no decoder, for a media type."""

    def __init__(self, content_type: str) -> None:
        self.message = f"the media type {content_type!r} is not supported; use one of {', '.join((JSON, CSV, NPY))}"
        super().__init__(self.message)


def _response() -> type[Any]:
    from flask import Response as FlaskResponse

    class Response(FlaskResponse):
        default_mimetype = JSON

        def __init__(  # the order of its parameters is theirs
            self,
            response: Any = None,
            accept: Any = None,
            status: Any = 200,
            headers: Any = None,
            mimetype: str | None = None,
            direct_passthrough: bool = False,
        ) -> None:
            super().__init__(response, status, headers, mimetype, None, direct_passthrough)

    return Response


def encode(array_like: Any, content_type: str) -> Any:
    """A value as JSON, CSV or npy. Raises UnsupportedFormatError."""
    names = {JSON: "array_to_json", CSV: "array_to_csv", NPY: "array_to_npy"}
    if content_type not in names:
        raise UnsupportedFormatError(content_type)
    return CONVERTERS[names[content_type]](array_like)


def decode(obj: Any, content_type: str) -> Any:
    """An array of JSON, CSV or npy. Raises UnsupportedFormatError."""
    names = {JSON: "json_to_numpy", CSV: "csv_to_numpy", NPY: "npy_to_numpy"}
    if content_type not in names:
        raise UnsupportedFormatError(content_type)
    return CONVERTERS[names[content_type]](obj)


def _array_to_json(array_like: Any) -> str:
    return json.dumps(array_like, default=lambda value: value.tolist())


def _array_to_csv(array_like: Any) -> str:
    import numpy

    array = numpy.array(array_like)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(array.reshape(-1, 1) if array.ndim == 1 else array)
    return stream.getvalue()


def _array_to_npy(array_like: Any) -> bytes:
    import numpy

    stream = io.BytesIO()
    numpy.save(stream, array_like, allow_pickle=False)
    return stream.getvalue()


def _json_to_numpy(text: Any, dtype: Any = None) -> Any:
    import numpy

    return numpy.array(json.loads(text), dtype=dtype)


def _csv_to_numpy(text: str, dtype: Any = None) -> Any:
    """Numbers where all cells are such, else texts."""
    import numpy

    array = numpy.array(list(csv.reader(io.StringIO(text), strict=True))).squeeze()
    try:
        return array.astype(dtype or float)
    except ValueError as error:
        if dtype is not None:
            raise ClientError(f"the CSV holds what is no {dtype}: {error}") from None
        return array


def _npy_to_numpy(body: bytes) -> Any:
    import numpy

    return numpy.load(io.BytesIO(body), allow_pickle=False)


CONVERTERS: dict[str, Callable[..., Any]] = {
    "array_to_json": _array_to_json,
    "array_to_csv": _array_to_csv,
    "array_to_npy": _array_to_npy,
    "json_to_numpy": _json_to_numpy,
    "csv_to_numpy": _csv_to_numpy,
    "npy_to_numpy": _npy_to_numpy,
}
