"""RecordIO of protobuf records, the format of SageMaker's built-in algorithms, as a matrix. Labels are left out.

A record holds `features`, a map from text to Value, of which "values" counts. A Value is one of three tensors; each has
packed `values` (1) and, where it is sparse, `keys` (2) and `shape` (3).
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.models.script.defaults import formats

MAGIC = 0xCED7230A
FLOAT32, FLOAT64, INT32 = 2, 3, 7
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def matrix(data: formats.Data, media: MediaType) -> Any:
    """An array with a row for each record, or a CSR matrix where one of them is sparse. Raises ValueError."""
    numpy = media_types.import_numpy(415)
    rows = [_row(numpy, record) for record in _records(formats.bytes_of(data))]
    if not rows:
        raise ValueError("there is no record")
    if all(keys is None for _, keys, _ in rows):
        return numpy.vstack([values for values, _, _ in rows])
    return _sparse(rows, media)


def _sparse(rows: list[tuple[Any, Any, int]], media: MediaType) -> Any:
    scipy = formats.needs("scipy.sparse", media)
    numpy = media_types.import_numpy(415)
    keys = [numpy.arange(len(values)) if keys is None else keys for values, keys, _ in rows]
    width = max(max(width, int(of.max()) + 1 if len(of) else 0) for of, (_, _, width) in zip(keys, rows, strict=True))
    ends = numpy.cumsum([0, *(len(of) for of in keys)])
    values = numpy.concatenate([values for values, _, _ in rows])
    return scipy.csr_matrix((values, numpy.concatenate(keys), ends), shape=(len(rows), width))


def _records(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        if len(body) < at + 8 or struct.unpack_from("<I", body, at)[0] != MAGIC:
            raise ValueError(f"there is no record at byte {at}")
        (length,) = struct.unpack_from("<I", body, at + 4)
        at += 8
        if len(body) < at + length:
            raise ValueError(f"the record at byte {at} is cut off")
        yield body[at : at + length]
        at += -(-length // 4) * 4


def _row(numpy: Any, record: bytes) -> tuple[Any, Any, int]:
    """Values, their columns (None in a dense row), and how many columns there are (0 where the record does not say)."""
    for field, entry in _fields(record):
        pair = dict(_fields(entry)) if field == 1 and isinstance(entry, bytes) else {}
        if pair.get(1) == b"values":
            for kind, tensor in _fields(pair.get(2, b"")):
                return _tensor(numpy, kind, tensor)
            raise ValueError("a record's values are empty")
    raise ValueError('a record has no features called "values"')


def _tensor(numpy: Any, kind: int, tensor: Any) -> tuple[Any, Any, int]:
    parts: dict[int, list[Any]] = {1: [], 2: [], 3: []}
    for field, value in _fields(tensor):
        parts.setdefault(field, []).append(value)
    if kind == INT32:
        values = numpy.array(_varints(parts[1]), "uint64").astype("int32")
    elif kind in (FLOAT32, FLOAT64):
        values = numpy.frombuffer(b"".join(parts[1]), "<f4" if kind == FLOAT32 else "<f8")
    else:
        raise ValueError("a record's values must be a tensor of float32, float64 or int32")
    keys, shape = _varints(parts[2]), _varints(parts[3])
    sparse = bool(keys or shape)
    if sparse and len(keys) != len(values):
        raise ValueError(f"a sparse record has {len(values)} values and {len(keys)} keys")
    return values, numpy.array(keys, "int64") if sparse else None, shape[0] if shape else 0


def _varints(parts: list[Any]) -> list[int]:
    """Packed numbers, and single ones."""
    found = []
    for part in parts:
        if isinstance(part, int):
            found.append(part)
            continue
        at = 0
        while at < len(part):
            number, at = _varint(part, at)
            found.append(number)
    return found


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message by number: an int for a varint, else bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"a record has a field of the unknown kind {kind}")
        length, at = _varint(message, at) if kind == BYTES else (8 if kind == FIXED64 else 4, at)
        if len(message) < at + length:
            raise ValueError("a record is cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a record is cut off in the middle of a number")
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
