"""What a request body means for a model, in whatever dialect it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from byo_container.serving.errors import RequestError

PARAMETERS = "parameters"
Write = Callable[[list[Any], bool], Any]
"""Outputs, and Inputs.listed, to the answer that is to be encoded as JSON."""


@dataclass(slots=True)  # not frozen, which takes a microsecond longer for each request
class Inputs:
    """The inputs of a request."""

    values: list[Any]
    many: bool
    """Whether the request holds several records. The only output of one that does not may be sent as a stream."""
    listed: bool
    """Whether the answer is a list, also where it has a single output."""
    write: Write
    """The other half of the dialect in which the request is written."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """How the client wants the model to predict."""


def beside(body: dict[str, Any], key: str, *allowed: str) -> Mapping[str, Any]:
    """The parameters that stand beside `key` in a body. Raises RequestError 400 for parameters that are no object, and
    for what is not among `allowed` and would be lost."""
    for other in body:
        if other not in (key, PARAMETERS, *allowed):
            known = ", ".join(map(repr, (PARAMETERS, *allowed)))
            raise RequestError(400, f"the object has {other[:50]!r} beside {key!r}, where only {known} may stand")
    parameters = body.get(PARAMETERS)
    if not isinstance(parameters, dict | None):
        raise RequestError(400, f'{PARAMETERS!r} must be an object, such as {{"top_k": 3}}')
    return parameters or {}
