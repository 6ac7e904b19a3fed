"""Request bodies as arrays, tables and matrices. (codecs/decoding.py reads records, for handlers.)"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from byo_container.serving.codecs import decoded_size, decoding, media_types
from byo_container.serving.codecs.media_types import MediaType
from byo_container.serving.errors import RequestError

NPZ = "application/x-npz"
LIBSVM = "text/libsvm"
X_LIBSVM = "text/x-libsvm"
PARQUET = "application/x-parquet"
RECORDIO = "application/x-recordio-protobuf"
TENSOR = "tensor/pt"
OCTETS = "application/octet-stream"
# The most bytes that a compressed body may become, or one whose values all get the width of the widest one: 25 MB of
# compressed zeros are 25 GB.
MOST_BYTES = 256 * 1024 * 1024
BYTES_A_CHARACTER = 4  # of NumPy's texts
UTF8_JSON = MediaType(media_types.JSON)
LONG_INTEGER = re.compile(rb"\d{19}")
DELIMITERS = (",", ";", "\t", "|", " ")

Data = str | bytes | bytearray | memoryview
Reader = Callable[[Data, MediaType], Any]


def read(readers: Mapping[str, Reader], data: Data, content_type: str) -> Any:
    """Reads a body by the reader of its media type, which may be listed as `image/*`.

    Raises RequestError: 415 for a type without a reader, 400 for a body that is not of its type.
    """
    media = media_types.content_type(content_type)
    reader = readers.get(media.name) or readers.get(media.name.partition("/")[0] + "/*")
    if reader is None:
        known = ", ".join(readers)
        raise RequestError(415, f"cannot read {media.name!r} without an input_fn; send one of {known}")
    if not data:
        raise RequestError(400, f"the body is empty; it should hold {media.name}")
    try:
        return reader(data, media)
    except (ValueError, TypeError, OverflowError, KeyError, EOFError, csv.Error, zipfile.BadZipFile) as error:
        raise RequestError(400, f"the default input_fn cannot read this {media.name}: {error}") from None


def text_of(data: Data, media: MediaType) -> str:
    return data if isinstance(data, str) else decoding.decode_text(bytes(data), media)


def bytes_of(data: Data) -> bytes:
    return data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else bytes(data)


def json_value(data: Data, media: MediaType) -> Any:
    """A value from JSON. Integers of any length are exact: orjson makes floats of those above 64 bits."""
    value = _json(data, media)
    return _json_exactly(data, media) if LONG_INTEGER.search(bytes_of(data)) else value


def json_array(data: Data, media: MediaType) -> Any:
    array = _array_of(_json(data, media), data)
    # Integers above 64 bits have become floats. Searching all bodies for them would take longer than reading them.
    if len(data) >= 19 and _may_be_inexact(array, data):
        return _array_of(_json_exactly(data, media), data)
    return array


def _array_of(values: Any, data: Data) -> Any:
    """The array of the values in `data`. Raises RequestError 413 where it would be too large: NumPy gives every text
    the width of the longest one."""
    body = bytes_of(data)
    most_values = body.count(b",") + body.count(b"\n") + 1
    if most_values * len(body) * BYTES_A_CHARACTER > MOST_BYTES:  # else no text can be too long for it
        number, longest = _texts_in(values)
        check_size(number * longest * BYTES_A_CHARACTER)
    return media_types.import_numpy(415).array(values)


def _texts_in(values: Any) -> tuple[int, int]:
    """How many values lists hold, and the length of the longest text among them."""
    number, longest, waiting = 0, 0, [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        else:
            number += 1
            longest = max(longest, len(value) if isinstance(value, str) else 0)
    return number, longest


def _may_be_inexact(array: Any, data: Data) -> bool:
    if array.dtype.kind == "f":
        # The sum of their squares: one call, while finding the largest takes several.
        return bool(media_types.import_numpy(415).vdot(array, array) >= 2.0**126)
    return array.dtype.kind in "OU" and LONG_INTEGER.search(bytes_of(data)) is not None


def _json(data: Data, media: MediaType) -> Any:
    return decoding.decode(bytes_of(data), UTF8_JSON if isinstance(data, str) else media)[0][0]


def _json_exactly(data: Data, media: MediaType) -> Any:
    """By Python's parser, which accepts more than JSON, such as NaN: only for bodies that orjson has accepted."""
    return json.loads(text_of(data, media).removeprefix("\ufeff"))


def csv_columns(data: Data, media: MediaType) -> Any:
    """An array as numpy.genfromtxt finds it: int64 where all cells are whole, else float64, texts where none is a
    number, records where columns differ; one row or one column has one dimension.

    Unlike there, whole columns beside others are floats too, not records, and an empty cell is NaN, not 0 or -1.
    """
    numpy = media_types.import_numpy(415)
    text = text_of(data, media)
    check_weight(text)
    rows = [line.split(",") for line in text.splitlines() if line.strip()]
    if not rows:
        raise RequestError(400, "the body holds no row of CSV")
    for number, dtype in ((int, numpy.int64), (_float, numpy.float64)):
        with contextlib.suppress(ValueError, OverflowError):
            return numpy.array([[number(cell) for cell in row] for row in rows], dtype).squeeze()
    longest = max(len(cell) for row in rows for cell in row)
    check_size(sum(map(len, rows)) * longest * BYTES_A_CHARACTER)
    return numpy.genfromtxt(io.StringIO(text), dtype=None, delimiter=",", encoding=None)


def _float(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


def csv_numbers(data: Data, media: MediaType, delimiter: str = ",") -> Any:
    """An array of float64 in two dimensions, NaN for empty cells; blank lines are left out."""
    numpy = media_types.import_numpy(415)
    text = text_of(data, media)
    check_weight(text, delimiter)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    cells = [[_float(cell) for cell in row] for row in rows if row]
    if not cells:
        raise RequestError(400, "the body holds no row of CSV")
    return numpy.array(cells, numpy.float64)


def delimiter_of(text: str) -> str:
    """The delimiter of the cells in the first line."""
    line = text.lstrip("\r\n").partition("\n")[0].strip()
    return next((delimiter for delimiter in DELIMITERS if delimiter in line), ",")


def npy_array(data: Data, media: MediaType) -> Any:
    return decoding.decode(bytes_of(data), media)[0][0]


def records(data: Data, media: MediaType) -> Any:
    """The array of the records in the lines of a body: JSON lines, texts."""
    return _array_of(decoding.decode(bytes_of(data), media)[0], data)


def sparse_matrix(data: Data, media: MediaType) -> Any:
    """A matrix of scipy.sparse, as scipy.sparse.save_npz writes it: the SDK's SparseMatrixSerializer. No pickles."""
    scipy = needs("scipy.sparse", media)
    body = bytes_of(data)
    check_archive(body)
    return scipy.load_npz(io.BytesIO(body))


def libsvm_matrix(data: Data, media: MediaType) -> Any:
    """A CSR matrix from lines of `[label] index:value …`. Indices count from 1 where none is 0, else from 0, as in
    the container; values that a line leaves out are missing, as in XGBoost's own reader."""
    text = text_of(data, media)
    check_weight(text, " ", ":")
    scipy = needs("scipy.sparse", media)
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    rows = [[token.split(":") for token in line if ":" in token and not token.startswith("qid:")] for line in lines]
    rows = [row for row, line in zip(rows, lines, strict=True) if line]
    columns = [int(index) for row in rows for index, _ in row]
    if not rows or min(columns, default=0) < 0:
        raise ValueError("it should be lines such as 0:1.5 3:2")
    first = min(columns, default=0) >= 1
    values = [float(value) for row in rows for _, value in row]
    ends = [0]
    for row in rows:
        ends.append(ends[-1] + len(row))
    shape = (len(rows), max(columns, default=0) + 1 - first)
    return scipy.csr_matrix((values, [column - first for column in columns], ends), shape=shape)


def parquet_table(data: Data, media: MediaType) -> Any:
    """A table of pyarrow."""
    parquet = needs("pyarrow.parquet", media)
    file = parquet.ParquetFile(io.BytesIO(bytes_of(data)))
    check_size(max(file.metadata.num_rows, 1) * file.metadata.num_columns * 8)
    return file.read()


def image(data: Data, media: MediaType) -> Any:
    """An image of Pillow, in RGB."""
    pillow = needs("PIL.Image", media)
    try:
        found = pillow.open(io.BytesIO(bytes_of(data)))
        check_size(3 * found.width * found.height)
        return found.convert("RGB")
    except (OSError, pillow.DecompressionBombError) as error:
        raise ValueError(error) from None


def needs(module: str, media: MediaType) -> Any:
    """Imports a module that only bodies of one media type need. Raises RequestError 415."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        package = {"PIL": "Pillow"}.get(module.partition(".")[0], module.partition(".")[0])
        raise RequestError(415, f"{media.name} needs {package}, which this image does not have") from None


def check_archive(body: bytes) -> None:
    """Raises RequestError 413 for a zip archive that would not fit in memory when unpacked."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        check_size(sum(entry.file_size for entry in archive.infolist()))


def check_weight(text: str, *separators: str) -> None:
    """Raises RequestError 413 for a table of more values than one request may have, whatever separates them."""
    if len(text) > decoded_size.CONTAINERS:  # a smaller one stays below all limits
        for separator in separators:
            text = text.replace(separator, ",")
        decoded_size.of_csv(text.encode())


def check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise RequestError(413, f"the body unpacks to {size:,} bytes; there may be {MOST_BYTES:,} at most")


def sentence(names: Iterable[str]) -> str:
    """`a, b and c`"""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
