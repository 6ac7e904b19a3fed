"""`sagemaker_xgboost_container.encoder`, with which scripts for XGBoost's container read CSV and libsvm themselves.

The package is on no index. A script that both trains and serves imports more of it, which serving never calls.
Source: https://github.com/aws/sagemaker-xgboost-container/blob/master/src/sagemaker_xgboost_container/encoder.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.models.script.defaults import formats, xgboost


def modules() -> dict[str, dict[str, Any]]:
    encoder = {
        "csv_to_dmatrix": _reads(media_types.CSV),
        "libsvm_to_dmatrix": _reads(formats.LIBSVM),
        "recordio_protobuf_to_dmatrix": _reads(formats.RECORDIO),
        "decode": lambda data, content_type: xgboost.input_fn(data, content_type, None),
    }
    return {"sagemaker_xgboost_container.encoder": encoder}


def _reads(content_type: str) -> Callable[..., Any]:
    return lambda data, dtype=None: xgboost.input_fn(data, content_type, None)
