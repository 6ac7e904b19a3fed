"""Media type ↔ Python values.

A request body is decoded to a list of inputs ("records"). Line-oriented types (JSON lines, CSV, text) hold many,
each on a line of its own; JSON and npy hold one. The answer has as many outputs, in the same order.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from byo_container.serving.codecs import charsets, decoded_size, large_answers, negotiation, plain_values
from byo_container.serving.codecs.plain_values import dumps as dumps
from byo_container.serving.errors import RequestError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
TEXT = "text/plain"
NPY = "application/x-npy"
ALIASES = {
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/csv": CSV,
    "text/json": JSON,
}

csv.field_size_limit(2**31 - 1)  # a cell may be as large as the payload limit lets it
# An array without a single byte may say that it is of any shape, and lists made of it are that large.
EMPTY_ARRAY = 2**20


@dataclass(frozen=True)
class MediaType:
    """`text/csv; charset=utf-8` taken apart: name and charset in lower case."""

    name: str
    charset: str = "utf-8"


@lru_cache(maxsize=256)
def content_type(header: str) -> MediaType:
    """The media type of a request body; JSON where the client names none. Raises RequestError 415."""
    if not header:
        return MediaType(JSON)
    name, *parameters = (part.strip() for part in header.split(";"))
    name = ALIASES.get(name.lower(), name.lower())
    charset = "utf-8"
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return MediaType(name, charset)


def accepted(header: str, default: str) -> str:
    """The media type to answer in: the best of an Accept list that there is an encoder for, by RFC 9110.

    `*/*` and no header mean `default`, if they do not refuse it elsewhere. Raises RequestError 406.
    """
    short = len(header) <= negotiation.CACHED_LENGTH
    return _accepted(header, default) if short else _accepted.__wrapped__(header, default)


@lru_cache(maxsize=256)
def _accepted(header: str, default: str) -> str:
    first = ALIASES.get(default, default)
    offers = [first, *(name for name in ENCODERS if name != first)]
    found = negotiation.choose(header, [(name, _names(name)) for name in offers])
    if found is None:
        shown = header if len(header) <= 100 else f"{header[:100]}…"
        raise RequestError(406, f"cannot answer in {shown!r}; Accept one of {', '.join(ENCODERS)}")
    return found


def _names(name: str) -> list[str]:
    """All names that a media type goes by."""
    return [name, *(alias for alias, meant in ALIASES.items() if meant == name)]


def accepts(header: str, name: str) -> bool:
    """Whether a client asks for a media type by its name."""
    return name in header and name in preferences(header)


def preferences(header: str) -> list[str]:
    """The media types of an Accept header, best first, refused ones (q=0) left out; `*/*` for no header."""
    return negotiation.preferred(header)


def decode(body: bytes, media: MediaType) -> tuple[list[Any], bool]:
    """The inputs in a request body, and whether its type is one that holds many.

    Raises RequestError: 415 for a type without a decoder, 400 for a body that is not what it says, 413 for one that
    would become too much.
    """
    decoder = DECODERS.get(media.name)
    if decoder is None:
        form = (
            " (curl -d sends this type by itself: add -H 'Content-Type: application/json')"
            if media.name == FORM
            else ""
        )
        raise RequestError(415, f"cannot read {media.name!r}{form}; send one of {', '.join(DECODERS)}")
    if not body:
        raise RequestError(400, f"the body is empty; it should hold {media.name}")
    if len(body) > decoded_size.CONTAINERS:  # a smaller one stays below all limits
        weigh(body, media)
    return decoder(body, media), media.name in LINE_TYPES


def weigh(body: bytes, media: MediaType) -> int:
    """The bytes that the inputs in a request body take once it is decoded, estimated. Raises RequestError 413 for more
    of them than one request may have."""
    return WEIGHTS.get(media.name, len)(body)


def decode_text(body: bytes, media: MediaType) -> str:
    """A body as text, a byte order mark left out. Raises RequestError: 415 for a charset that is not known, 400 for
    bytes that are not in it."""
    codec = charsets.codec(media.charset)
    if codec is None:
        raise RequestError(415, f"the charset {media.charset!r} is not read here; send utf-8")
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not {media.charset} (byte {error.start}){_likely(body, media)}") from None


def _likely(body: bytes, media: MediaType) -> str:
    """What to do about a text that begins as UTF-16 or UTF-32 does, where the client says that it is in UTF-8."""
    found = json.detect_encoding(body)
    if charsets.codec(media.charset) == "utf_8_sig" and not found.startswith("utf-8"):
        return f"; it looks like {found}: send utf-8, or name the charset in the Content-Type"
    return ""


def _decode_json(body: bytes, media: MediaType) -> list[Any]:
    plain_values = media.charset == "utf-8" and not body.startswith(BOM_UTF8)
    try:
        return [orjson.loads(body if plain_values else decode_text(body, media))]
    except orjson.JSONDecodeError as error:
        if plain_values:
            decode_text(body, media)  # orjson tells bytes that are no UTF-8 as half surrogates
        raise RequestError(400, f"the body is not valid JSON: {error}{_likely(body, media)}") from None


def _decode_json_lines(body: bytes, media: MediaType) -> list[Any]:
    values = []
    for number, line in enumerate(_lines(decode_text(body, media)), 1):
        try:
            values.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise RequestError(400, f"line {number} of the body is not valid JSON: {error.msg}") from None
    return values


def _decode_csv(body: bytes, media: MediaType) -> list[Any]:
    reader = csv.reader(io.StringIO(decode_text(body, media), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if not row:
                raise RequestError(400, f"line {reader.line_num} of the body is empty; it should be a row of CSV")
            rows.append(row)
    except csv.Error as error:
        raise RequestError(400, f"line {reader.line_num} of the body is not valid CSV: {error}") from None
    if not rows:
        raise RequestError(400, "the body holds no row of CSV")
    return rows


def _decode_text(body: bytes, media: MediaType) -> list[Any]:
    return list(_lines(decode_text(body, media)))


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at form feeds and at the Unicode separators inside a sentence.
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]


def _decode_npy(body: bytes, media: MediaType) -> list[Any]:
    numpy = import_numpy(415)
    try:
        # Not numpy.load, which also opens archives. Never with pickles: they run code that the client wrote.
        array = numpy.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
        _check_shape(array)
        _check_characters(array)
        return [array]
    except Exception as error:  # of many kinds: the header is Python, and may ask for more memory than there is
        raise RequestError(400, f"the body is not an array in npy format without pickles: {error}") from None


def _check_shape(array: Any) -> None:
    """Raises ValueError where an array claims a size that its data does not have."""
    size = max(array.dtype.itemsize, math.prod(length for length in array.shape if length))
    if not array.nbytes and size > EMPTY_ARRAY:
        raise ValueError(f"it has no data, but the shape {array.shape} of {array.dtype.itemsize} bytes each")


def _check_characters(array: Any) -> None:
    """Raises ValueError where what should be characters are none: NumPy makes broken texts of them."""
    for name in array.dtype.names or ():
        _check_characters(array[name])
    if array.dtype.kind == "U" and array.dtype.itemsize and array.size:
        codes = array.flatten().view(f"{array.dtype.byteorder}u4")
        if int(codes.max()) > sys.maxunicode:
            raise ValueError(
                f"character number {int(codes.max()):,} of a text; there are none above {sys.maxunicode:,}"
            )
        if ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
            raise ValueError("a text in it has half a surrogate pair, which is no character")


def import_numpy(status: int) -> Any:
    try:
        import numpy
    except ImportError:
        raise RequestError(status, f"{NPY} needs NumPy, which this image does not have") from None
    return numpy


def encode(outputs: list[Any], many: bool, name: str) -> bytes:
    """The body of an answer in the media type `name`; `many` says that the request was line-oriented."""
    return ENCODERS[name](outputs, many)


def encode_large(outputs: list[Any], many: bool, name: str) -> bytes:
    """The same beside the event loop, which has its turn meanwhile."""
    if name == JSON:
        return large_answers.dumps(outputs if many else outputs[0])
    if name == JSON_LINES:
        return b"".join(large_answers.dumps(row) + b"\n" for row in _rows(outputs, many))
    return encode(outputs, many, name)


def _encode_json(outputs: list[Any], many: bool) -> bytes:
    return dumps(outputs if many else outputs[0])


def _rows(outputs: list[Any], many: bool) -> list[Any]:
    """The records of an answer: what answers a single input and is like a list (a tuple, an array, a data frame) is
    several."""
    if many:
        return outputs
    found = plain_values.items(outputs[0])
    return outputs[:1] if found is None else found


def _encode_json_lines(outputs: list[Any], many: bool) -> bytes:
    return b"".join(dumps(row) + b"\n" for row in _rows(outputs, many))


def _encode_csv(outputs: list[Any], many: bool) -> bytes:
    lines = _Lines()
    # Rows end in CR LF for csv, which then quotes cells that hold either, and in LF for everybody else.
    csv.writer(lines, lineterminator="\r\n").writerows(plain_values.table(_rows(outputs, many)))
    # Half of a surrogate pair is no character, and has no form in UTF-8: `?` in its place.
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines).encode(errors="replace")


class _Lines(list[str]):
    write = list.append


def _encode_text(outputs: list[Any], many: bool) -> bytes:
    lines = [" ".join(map(str, cells)) for cells in plain_values.table(_rows(outputs, many))]
    # A line is a record: one that holds line breaks would be taken for several.
    return "".join(line.replace("\r", " ").replace("\n", " ") + "\n" for line in lines).encode(errors="replace")


def _encode_npy(outputs: list[Any], many: bool) -> bytes:
    numpy = import_numpy(406)
    array = plain_values.stacked(outputs if many else outputs[0])
    if array is None:
        raise RequestError(406, f"these predictions are no array of numbers; Accept {JSON} instead of {NPY}")
    stream = io.BytesIO()
    numpy.save(stream, array, allow_pickle=False)
    return stream.getvalue()


DECODERS: dict[str, Callable[[bytes, MediaType], list[Any]]] = {
    JSON: _decode_json,
    JSON_LINES: _decode_json_lines,
    CSV: _decode_csv,
    TEXT: _decode_text,
    NPY: _decode_npy,
}
WEIGHTS: dict[str, Callable[[bytes], int]] = {
    JSON: decoded_size.of_json,
    JSON_LINES: decoded_size.of_json_lines,
    CSV: decoded_size.of_csv,
    TEXT: decoded_size.of_text,
    NPY: decoded_size.of_array,
}
ENCODERS: dict[str, Callable[[list[Any], bool], bytes]] = {
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
    CSV: _encode_csv,
    TEXT: _encode_text,
    NPY: _encode_npy,
}
LINE_TYPES = frozenset({JSON_LINES, CSV, TEXT})


def labelled(name: str) -> str:
    """The Content-Type of an answer. A text names its charset: without, clients take it for Latin-1. CSV does not: the
    platform's data capture looks for `text/csv` to the letter."""
    return f"{name}; charset=utf-8" if name == TEXT else name
