"""Defaults of the inference toolkit that all of SageMaker's containers stand on: arrays in, arrays out.

Source: https://github.com/aws/sagemaker-inference-toolkit/tree/master/src/sagemaker_inference (decoder.py, encoder.py)
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

from serving import codecs
from serving.errors import RequestError
from serving.script_defaults.defaults import Defaults
from serving.streaming import EVENTS, is_stream


def input_fn(data: Any, content_type: str, context: Any) -> Any:
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


def predict_fn(data: Any, model: Any, context: Any) -> Any:
    """Calls the model itself, without gradients where it is PyTorch's."""
    torch = sys.modules.get("torch")
    with torch.inference_mode() if torch else nullcontext():
        return model(data)


def output_fn(prediction: Any, accept: str, context: Any) -> tuple[Any, str]:
    """The prediction in the media type that the client asked for. One that is yielded comes as its parts are."""
    if is_stream(prediction) or accept == EVENTS:
        return prediction if is_stream(prediction) else iter([prediction]), EVENTS if accept == EVENTS else ""
    name = codecs.accepted(accept, codecs.JSON)
    return codecs.encode([prediction], False, name), name


DEFAULTS = Defaults("SageMaker's inference toolkit", input_fn, predict_fn, output_fn)
