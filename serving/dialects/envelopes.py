"""Which inputs a request body holds, for a handler that says `batched = True`, and in which form they are answered.

    body                                              inputs              answer in JSON
    [a, b]                                            a, b                [A, B]
    {"instances": [a, b]}                             a, b                {"predictions": [A, B]}
    {"inputs": [a, b]}                                a, b                [A, B]
    {"inputs": a}, a text or an object                a                   [A]
    any other JSON                                    that value          A
    npy of two dimensions or more                     its rows            [A, B]

The first form with a key is TensorFlow Serving's and Vertex AI's, the other one Hugging Face's:
https://www.tensorflow.org/tfx/serving/api_rest
https://huggingface.co/docs/inference-providers/tasks/text-classification
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from byo_container.serving.codecs import encoding, media_types, plain_values
from byo_container.serving.errors import RequestError

INSTANCES, INPUTS, PARAMETERS, PREDICTIONS = "instances", "inputs", "parameters", "predictions"
# What clients send beside the inputs. Only `parameters` is for the model; the others are for servers of another kind.
BESIDE = {INSTANCES: (PARAMETERS, "signature_name"), INPUTS: (PARAMETERS, "options")}


@dataclass(frozen=True)
class Form:
    """How the outputs of a request are to be written."""

    many: bool
    """Whether the request holds several records. The only output of one that does not may be sent as a stream."""
    listed: bool = False
    """Whether a single output stands in a list too."""
    key: str = ""
    """What the list is called in an object of JSON."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the client says of how to predict."""

    def encode(self, outputs: list[Any], name: str) -> bytes:
        """The body of an answer in the media type `name`."""
        if self.key and name == media_types.JSON:
            return plain_values.dumps({self.key: outputs})
        return encoding.encode(outputs, self.many or self.listed, name)

    def encode_large(self, outputs: list[Any], name: str) -> bytes:
        """The same beside the event loop, which has its turn meanwhile."""
        if self.key and name == media_types.JSON:
            return encoding.encode_large([{self.key: outputs}], False, name)
        return encoding.encode_large(outputs, self.many or self.listed, name)


ONE, MANY = Form(many=False), Form(many=True)


def squeezed(rows: list[list[str]]) -> list[Any]:
    """The rows of CSV, of one cell that cell: a column of texts is then what the same lines of text/plain are."""
    return [row[0] if len(row) == 1 else row for row in rows]


def split(value: Any) -> tuple[list[Any], Form]:
    """The inputs in the one value that a body of JSON or npy holds. Raises RequestError 400."""
    if isinstance(value, list):
        return value, MANY
    if isinstance(value, dict):
        key = next((key for key in BESIDE if key in value), None)
        return _enveloped(value, key) if key else ([value], ONE)
    if getattr(value, "ndim", 0) > 1:
        return list(value), MANY
    return [value], ONE


def _enveloped(body: dict[str, Any], key: str) -> tuple[list[Any], Form]:
    for other in body:
        if other != key and other not in BESIDE[key]:
            known = ", ".join(map(repr, BESIDE[key]))
            raise RequestError(400, f"the object has {other[:50]!r} beside {key!r}, where only {known} may stand")
    inputs, parameters = body[key], body.get(PARAMETERS)
    if not isinstance(parameters, dict | None):
        raise RequestError(400, f'{PARAMETERS!r} must be an object, such as {{"top_k": 3}}')
    if key == INPUTS:
        listed = isinstance(inputs, list)
        return (inputs if listed else [inputs]), Form(listed, listed=True, parameters=parameters or {})
    if not isinstance(inputs, list):
        raise RequestError(400, f'{INSTANCES!r} must be a list of inputs, such as {{"instances": [[1, 2], [3, 4]]}}')
    return inputs, Form(True, key=PREDICTIONS, parameters=parameters or {})
