"""Request bodies, byte for byte as the serializers of SageMaker's Python SDK make them.

Source: https://github.com/aws/sagemaker-python-sdk/blob/v2.257.0/src/sagemaker/base_serializers.py
"""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Payload:
    """The body of a request and its media type."""

    body: bytes
    content_type: str


def raw(body: bytes, content_type: str = "application/octet-stream") -> Payload:
    """Bytes of any type, as by IdentitySerializer and DataSerializer."""
    return Payload(body, content_type)


def json(value: Any) -> Payload:
    """One JSON value, as by JSONSerializer. NumPy arrays become lists, in the values of a dict too."""
    if isinstance(value, dict):
        value = {key: _plain(one) for key, one in value.items()}
    return Payload(json_module.dumps(_plain(value)).encode(), "application/json")


def json_lines(values: Iterable[Any]) -> Payload:
    """A JSON value a line, as by JSONLinesSerializer."""
    return Payload("\n".join(map(json_module.dumps, values)).encode(), "application/jsonlines")


def csv(rows: Any) -> Payload:
    """Rows, the cells of one row, a 2-D array or a data frame, as by CSVSerializer. A row that is a text is sent
    as it is."""
    if hasattr(rows, "to_csv"):
        return Payload(rows.to_csv(header=False, index=False).encode(), "text/csv")
    several = hasattr(rows, "__setitem__") and len(rows) > 0 and _is_sequence(rows[0])
    return Payload("\n".join(map(_row, rows if several else [rows])).encode(), "text/csv")


def npy(array: Any) -> Payload:
    """A NumPy array, or a list that becomes one, as by NumpySerializer."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return Payload(buffer.getvalue(), "application/x-npy")


def text(lines: str) -> Payload:
    """A text, each line of which is an input, as by StringSerializer."""
    return Payload(lines.encode(), "text/plain")


def _is_sequence(value: Any) -> bool:
    return hasattr(value, "__iter__") and hasattr(value, "__getitem__")


def _row(row: Any) -> str:
    if isinstance(row, str):
        return row
    cells = row.flatten() if hasattr(row, "flatten") else row
    buffer = io.StringIO()
    csv_module.writer(buffer).writerow(cells)
    return buffer.getvalue().rstrip("\r\n")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
