"""Defaults of the inference toolkit that all of SageMaker's containers build on: arrays in, arrays out.

Source: https://github.com/aws/sagemaker-inference-toolkit/tree/master/src/sagemaker_inference (decoder.py, encoder.py)
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.models.script.defaults import formats
from byo_container.serving.models.script.defaults.encoding import output_fn
from byo_container.serving.models.script.defaults.family import Defaults

READERS = {
    media_types.JSON: formats.json_array,
    media_types.CSV: formats.csv_columns,
    media_types.NPY: formats.npy_array,
    formats.NPZ: formats.sparse_matrix,
    media_types.JSON_LINES: formats.records,
    media_types.TEXT: formats.records,
}


def input_fn(data: Any, content_type: str, context: Any) -> Any:
    """A NumPy array, or a matrix of scipy.sparse from x-npz."""
    return formats.read(READERS, data, content_type)


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    """Calls the model, without gradients if it is PyTorch's. The toolkit has no default here."""
    torch = sys.modules.get("torch")
    with torch.inference_mode() if torch else nullcontext():
        return model(data)


DEFAULTS = Defaults("SageMaker's inference toolkit", input_fn, predict_fn, output_fn)
