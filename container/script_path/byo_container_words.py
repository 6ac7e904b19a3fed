"""Names and texts of values as in SageMaker's toolkits: content types, variables and command lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
# Common to all toolkits; some have more.
CONTENT_TYPES = {
    "JSON": JSON,
    "CSV": CSV,
    "NPY": NPY,
    "OCTET_STREAM": "application/octet-stream",
    "ANY": "*/*",
    "UTF8_TYPES": [JSON, CSV],
}


def to_text(value: Any) -> str:
    """The text of a value in an environment variable: a text as it is, empty for None, else compact sorted JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def to_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Hyperparameters as a command line: sorted, each as two words, `--key value` or `-k value`."""
    words = []
    for key, value in sorted(hyperparameters.items()):
        words += [f"--{key}" if len(key) > 1 else f"-{key}", _argument(value)]
    return words


def _argument(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in sorted(value.items()))
    return str(value)
