"""TensorFlow Serving's row format, which is Vertex AI's too: https://www.tensorflow.org/tfx/serving/api_rest"""

from __future__ import annotations

from typing import Any

from byo_container.serving.dialects.inputs import Inputs, beside
from byo_container.serving.errors import RequestError

KEY, ANSWER_KEY = "instances", "predictions"


def read(body: dict[str, Any]) -> Inputs:
    """Raises RequestError 400."""
    parameters = beside(body, KEY, "signature_name")
    instances = body[KEY]
    if not isinstance(instances, list):
        raise RequestError(400, f'{KEY!r} must be a list of inputs, such as {{"instances": [[1, 2], [3, 4]]}}')
    return Inputs(instances, many=True, listed=True, write=write, parameters=parameters)


def write(outputs: list[Any], listed: bool) -> dict[str, Any]:
    return {ANSWER_KEY: outputs}
