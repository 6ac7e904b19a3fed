"""Defaults of SageMaker's container for XGBoost: every body becomes a DMatrix.

Source: https://github.com/aws/sagemaker-xgboost-container/tree/master/src/sagemaker_xgboost_container
(handler_service.py, encoder.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.models.script.defaults import formats, recordio
from byo_container.serving.models.script.defaults.encoding import output_fn
from byo_container.serving.models.script.defaults.family import Defaults
from byo_container.serving.models.script.defaults.sklearn import can_predict


def _csv(data: formats.Data, media: MediaType) -> Any:
    text = formats.text_of(data, media)
    return formats.csv_numbers(text, media, formats.delimiter_of(text))


def _json(data: formats.Data, media: MediaType) -> Any:
    array = formats.json_array(data, media).astype("float64")  # so that null is NaN
    return array.reshape(1, -1) if array.ndim == 1 else array


def _npy(data: formats.Data, media: MediaType) -> Any:
    array = formats.npy_array(data, media)
    return array.reshape(1, -1) if array.ndim == 1 else array


def _matrix(read: Callable[[formats.Data, MediaType], Any]) -> formats.Reader:
    def matrix(data: formats.Data, media: MediaType) -> Any:
        values = read(data, media)
        return formats.needs("xgboost", media).DMatrix(values)

    return matrix


# The container has CSV, libsvm and recordio alone.
READERS: dict[str, formats.Reader] = {
    media_types.CSV: _matrix(_csv),
    formats.LIBSVM: _matrix(formats.libsvm_matrix),
    formats.X_LIBSVM: _matrix(formats.libsvm_matrix),
    formats.RECORDIO: _matrix(recordio.matrix),
    media_types.JSON: _matrix(_json),
    media_types.NPY: _matrix(_npy),
    formats.NPZ: _matrix(formats.sparse_matrix),
    formats.PARQUET: _matrix(formats.parquet_table),
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    """A DMatrix."""
    return formats.read(READERS, data, content_type)


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    return model.predict(data, validate_features=False)


DEFAULTS = Defaults("XGBoost", input_fn, predict_fn, output_fn, can_predict=can_predict, binary=bytes)
