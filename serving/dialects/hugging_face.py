"""Hugging Face's: https://huggingface.co/docs/inference-providers/tasks/text-classification"""

from __future__ import annotations

from typing import Any

from byo_container.serving.dialects.inputs import Inputs, beside

KEY = "inputs"


def read(body: dict[str, Any]) -> Inputs:
    """Raises RequestError 400."""
    parameters = beside(body, KEY, "options")
    inputs = body[KEY]
    many = isinstance(inputs, list)
    return Inputs(inputs if many else [inputs], many, listed=True, write=write, parameters=parameters)


def write(outputs: list[Any], listed: bool) -> list[Any]:
    return outputs
