"""Predictions of any library as plain values: those of JSON, rows and cells for CSV and text, arrays for npy.

Libraries are recognised by the methods of their objects, and never imported: NumPy, PyTorch, TensorFlow, JAX, pandas,
Polars, pydantic, dataclasses.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

import orjson

from byo_container.serving.errors import RequestError

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
# Cells that CSV and text can write as they are.
SIMPLE = frozenset({str, int, float, bool, type(None)})
BYTES = (bytes, bytearray, memoryview)


def dumps(value: Any) -> bytes:
    """Encodes a value as JSON. NaN and infinity, which JSON lacks, become null. Raises TypeError for a value that JSON
    cannot hold."""
    try:
        return orjson.dumps(value, default=plain, option=OPTIONS)
    except orjson.JSONEncodeError as error:
        if "ecursion" in str(error):
            raise too_deep() from None
        if isinstance(error.__cause__, Exception):  # the error of `plain`, which orjson hides
            raise error.__cause__ from None
    # Integers beyond 64 bits, halves of surrogate pairs, keys of NumPy's types: rare, and Python's encoder writes them.
    try:
        return json.dumps(_standard(value), separators=(",", ":")).encode()
    except RecursionError:
        raise too_deep() from None


def too_deep() -> RequestError:
    return RequestError(500, "the prediction is nested deeper than the 254 levels that can be written")


def _standard(value: Any) -> Any:
    """The same value made of Python's own types only, at every level."""
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): _standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(item) for item in value]
    try:
        return orjson.loads(orjson.dumps(value, option=OPTIONS))
    except orjson.JSONEncodeError:
        return _standard(plain(value))


def _key(key: Any) -> Any:
    return key.tolist() if hasattr(key, "tolist") else key


def plain(value: Any) -> Any:
    """Converts a value that JSON does not know by one step, such as a tensor to an array. Raises TypeError where
    there is no conversion."""
    if isinstance(value, BYTES):
        raise _unwritable(value)
    if is_tensor(value) or is_array(value):
        return _writable(array_of(value))
    if (table := records(value)) is not None:
        return table
    if is_missing(value):
        return None
    if hasattr(value, "tolist"):  # NumPy's scalars, a pandas Series
        item = value.tolist()
        return float(item) if type(item) is type(value) else item  # a long double is its own item
    if isinstance(value, tuple):
        return list(value)
    if (named := named_values(value)) is not None:
        return named
    if isinstance(value, Set):
        return _in_order(value)
    if isinstance(value, date):
        return value.isoformat()
    raise _unwritable(value)


def _unwritable(value: Any) -> TypeError:
    if isinstance(value, BYTES):
        return TypeError("a prediction of bytes has no form in JSON, CSV or text; decode it, or return numbers")
    return TypeError(
        f"a prediction of type {type(value).__name__} cannot be written; "
        "return texts, numbers, lists, dicts, arrays, tensors, data frames or dataclasses"
    )


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch (perhaps with a gradient, or on a device) or of TensorFlow, or a sparse matrix
    of SciPy."""
    return (hasattr(value, "numpy") or hasattr(value, "toarray")) and hasattr(value, "shape")


def is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def array_of(value: Any) -> Any:
    """A tensor as a NumPy array, or as a list where NumPy lacks its type (or is not installed); other values as they
    are."""
    if not is_tensor(value):
        return value
    if not hasattr(value, "detach"):
        return value.numpy() if hasattr(value, "numpy") else value.toarray()
    value = value.detach().cpu()
    try:
        return value.numpy()
    except TypeError:  # bfloat16, whose numbers all fit in float32
        return value.float().numpy()
    except RuntimeError:  # PyTorch without NumPy
        return value.tolist()


def _writable(array: Any) -> Any:
    """An array as orjson accepts it: contiguous, in the machine's byte order, of numbers, with one dimension or more.
    float32 keeps its digits, which Python's floats would make longer: 0.1 and not 0.10000000149011612."""
    if not is_array(array):
        return array
    if array.ndim == 0:
        return array[()]
    numpy = sys.modules["numpy"]
    if type(array) is not numpy.ndarray or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        return array.tolist()
    return numpy.ascontiguousarray(array, array.dtype.newbyteorder("="))


def is_missing(value: Any) -> bool:
    """Whether it is pandas' missing value."""
    return type(value).__name__ in ("NAType", "NaTType")


def records(value: Any) -> list[dict[Any, Any]] | None:
    """The rows of a data frame as dicts by column; None for any other value."""
    found: list[dict[Any, Any]]
    if hasattr(value, "to_dicts"):  # Polars
        found = value.to_dicts()
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):  # pandas
        found = value.to_dict("records")
    else:
        return None
    return found


def named_values(value: Any) -> dict[Any, Any] | None:
    """The values by name of a dict, a named tuple, a dataclass, or a pydantic model; None for any other value."""
    if isinstance(value, dict):
        return value
    if is_named_tuple(value):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "model_dump"):
        dumped: dict[Any, Any] = value.model_dump()
        return dumped
    return None


def is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _in_order(values: Iterable[Any]) -> list[Any]:
    """A set has no order, and an answer should be the same each time."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def items(value: Any) -> list[Any] | None:
    """The items of a list-like value along its first axis: list, tuple, array, tensor, Series, the rows of a data
    frame. None for a single value, such as a text, a dict, or a named tuple, which is a record."""
    if type(value) is list:
        return value
    if type(value) in SIMPLE or isinstance(value, BYTES) or is_named_tuple(value):
        return None
    if isinstance(value, list | tuple):
        return list(value)
    if (table := records(value)) is not None:
        return list(table)
    array = array_of(value)
    if is_array(array):
        return _items_of_array(array) if array.ndim else None
    if isinstance(array, list):
        return array
    if hasattr(array, "tolist"):
        listed = array.tolist()
        return listed if isinstance(listed, list) else None
    return None


def _items_of_array(array: Any) -> list[Any]:
    if array.ndim > 1:
        return list(array)
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        return list(array)  # scalars, which keep their digits
    listed: list[Any] = array.tolist()
    return listed


def table(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """The cells of each record. Records with the same names in another order are put in the order of the first one."""
    first: dict[Any, Any] | None = None
    for row in rows:
        if type(row) in SIMPLE:
            yield [row]
        elif type(row) is not list and (named := named_values(row)) is not None:
            first = named if first is None else first
            same = named.keys() == first.keys()
            yield _cells([named[name] for name in first] if same else list(named.values()))
        else:
            values = items(row)
            yield [cell(row)] if values is None else _cells(values)


def _cells(values: list[Any]) -> list[Any]:
    return [value if type(value) in SIMPLE else cell(value) for value in values]


def cell(value: Any) -> Any:
    """A value as one cell: numbers and texts as they are, containers as JSON. Raises TypeError for bytes, and for an
    object that Python would only show by its address in memory."""
    if isinstance(value, BYTES):
        raise _unwritable(value)
    if isinstance(value, list | tuple | Set) or named_values(value) is not None or items(value) is not None:
        return dumps(value).decode()
    if is_tensor(value) or is_array(value):
        value = array_of(value)
        value = value[()] if is_array(value) else value
    if hasattr(value, "tolist"):
        item = value.tolist()
        if isinstance(item, float) and math.isfinite(item) and value.dtype.itemsize < 8:
            return dumps(value).decode()  # the digits that it has in JSON
        return str(item) if type(item) is type(value) else item if type(item) in SIMPLE else cell(item)
    if is_missing(value):
        return None
    if str(value) == object.__repr__(value):
        raise _unwritable(value)
    return value


def stacked(value: Any) -> Any:
    """A value as a NumPy array (NumPy must be installed), the items of a list along a new first axis. None where the
    array would hold Python's objects: lists of unequal length, dicts, integers beyond 64 bits."""
    import numpy

    try:
        array = numpy.asarray(_arrays(value))
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if array.dtype.hasobject else array


def _arrays(value: Any) -> Any:
    """Tensors and data frames as arrays, also in lists: NumPy accepts no tensor with a gradient or on a device."""
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if isinstance(value, list | tuple):
        first = value[0] if value else None
        return value if isinstance(first, int | float | str) else [_arrays(item) for item in value]
    return array_of(value)
