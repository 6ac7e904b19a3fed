"""Defaults of SageMaker's container for scikit-learn.

Source: https://github.com/aws/sagemaker-scikit-learn-container/tree/master/src/sagemaker_sklearn_container
(handler_service.py, serving.py)
"""

from __future__ import annotations

from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.models.script.defaults import formats
from byo_container.serving.models.script.defaults.encoding import output_fn
from byo_container.serving.models.script.defaults.family import Defaults


def _float32(array: Any) -> Any:
    numpy = media_types.import_numpy(415)
    return _rows(array).astype(numpy.float32)


def _rows(array: Any) -> Any:
    """An array of one dimension is one row."""
    return array.reshape(1, -1) if len(array.shape) == 1 else array


READERS: dict[str, formats.Reader] = {
    media_types.JSON: lambda data, media: _float32(formats.json_array(data, media)),
    media_types.CSV: lambda data, media: _float32(formats.csv_numbers(data, media)),
    media_types.NPY: lambda data, media: _rows(formats.npy_array(data, media)),
    formats.NPZ: formats.sparse_matrix,
    media_types.JSON_LINES: lambda data, media: _rows(formats.records(data, media)),
    media_types.TEXT: formats.records,
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    """An array of float32 from texts, with one row or more; npy and x-npz as they are."""
    return formats.read(READERS, data, content_type)


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    return model.predict(data)


def can_predict(model: Any) -> bool:
    return callable(getattr(model, "predict", None))


DEFAULTS = Defaults("scikit-learn", input_fn, predict_fn, output_fn, can_predict=can_predict, binary=bytes)
