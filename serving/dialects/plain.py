"""Values as they are: a list holds several inputs, any other value is one."""

from __future__ import annotations

from typing import Any

from byo_container.serving.dialects.inputs import Inputs


def read(body: Any) -> Inputs:
    if isinstance(body, list):
        return Inputs(body, many=True, listed=True, write=write)
    if getattr(body, "ndim", 0) > 1:
        return Inputs(list(body), many=True, listed=True, write=write)
    return Inputs([body], many=False, listed=False, write=write)


def write(outputs: list[Any], listed: bool) -> Any:
    return outputs if listed else outputs[0]
