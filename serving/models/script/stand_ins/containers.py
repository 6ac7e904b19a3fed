"""`sagemaker_containers.beta.framework`, on which SageMaker's containers for scikit-learn and XGBoost are built.

The package needs Python 3.9 or older and a Flask of 2019, so no image of ours can have it. Scripts for the containers
of scikit-learn and XGBoost import a few names of it. Those are here.
Source: https://github.com/aws/sagemaker-containers/tree/master/src/sagemaker_containers
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

from byo_container.container.script_path.byo_container_words import CONTENT_TYPES, CSV, JSON, NPY

FRAMEWORK = "sagemaker_containers.beta.framework"
ENCODERS = {JSON: "array_to_json", CSV: "array_to_csv", NPY: "array_to_npy"}
DECODERS = {JSON: "json_to_numpy", CSV: "csv_to_numpy", NPY: "npy_to_numpy"}


def modules() -> dict[str, dict[str, Any]]:
    return {
        f"{FRAMEWORK}.content_types": CONTENT_TYPES,
        f"{FRAMEWORK}.encoders": {"encode": encode, "decode": decode, **CONVERTERS},
        f"{FRAMEWORK}.errors": {"ClientError": ClientError, "UnsupportedFormatError": UnsupportedFormatError},
        f"{FRAMEWORK}.worker": {"Response": _response()},
    }


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
    if content_type not in ENCODERS:
        raise UnsupportedFormatError(content_type)
    return CONVERTERS[ENCODERS[content_type]](array_like)


def decode(obj: Any, content_type: str) -> Any:
    """An array of JSON, CSV or npy. Raises UnsupportedFormatError."""
    if content_type not in DECODERS:
        raise UnsupportedFormatError(content_type)
    return CONVERTERS[DECODERS[content_type]](obj)


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
